"""Currencies and units of measure beside a number → one name each. No conversion: 1 km and 1000 m stay apart."""

import re

SYMBOLS = {
    "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₴": "UAH",
    "₪": "ILS", "₫": "VND", "₦": "NGN", "￥": "CNY", "＄": "USD",
}  # fmt: skip
"""A sign alone: the dollar of an unknown country counts as USD."""
CODES = frozenset(
    {
        "USD", "EUR", "GBP", "JPY", "CNY", "INR", "RUB", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK",
        "HUF", "BRL", "MXN", "KRW", "ZAR", "TRY", "AED", "SAR", "EGP", "HKD", "SGD", "THB", "ILS", "UAH",
    }
)  # fmt: skip
_NAMES = {
    "USD": "dollars dollar доллар доллара долларов दॉलर دولار 美元", "EUR": "euros euro евро यूरो يورو 欧元",
    "GBP": "pounds\u00a0sterling", "cent": "cents cent", "INR": "rupees rupee रुपये रुपया",
    "RUB": "руб рублей рубля рубль", "CNY": "元 块 yuan 人民币", "JPY": "円 yen",
    "km": "km kilometers kilometres км 公里",
    "m": "m meters metres meter metre м 米", "cm": "cm centimeters см 厘米", "mm": "mm millimeters мм 毫米",
    "mile": "miles mile mi", "ft": "ft feet foot", "in": "inches inch", "yd": "yards yard yd",
    "kg": "kg kilograms kilogram kgs кг 公斤 千克", "g": "g grams gram г 克", "mg": "mg", "t": "tons tonnes tonne",
    "lb": "lbs lb pounds pound", "oz": "oz ounces ounce", "l": "l liters litres liter litre л 升", "ml": "ml мл 毫升",
    "gal": "gallons gallon gal", "qt": "quarts quart", "cup": "cups cup",
    "h": "h hours hour hrs hr ч часов часа час 小时",
    "min": "minutes minute mins min минут мин 分钟", "s": "s seconds second secs sec секунд сек 秒",
    "ms": "ms milliseconds", "day": "days day дней дня день 天 दिन أيام يوم", "week": "weeks week недель недели 周",
    "month": "months month месяцев месяца", "year": "years year yrs yr лет года год 年 साल سنة",
    "°C": "°C ℃", "°F": "°F ℉", "degree": "degrees degree °", "kWh": "kWh", "W": "watts watt", "kW": "kW",
    "V": "volts volt",
    "B": "bytes byte", "KB": "KB kB", "MB": "MB", "GB": "GB", "TB": "TB", "km/h": "km/h kph", "mph": "mph",
    "token": "tokens",
    "%": "percent per\u00a0cent percentage\u00a0points процентов процента بالمئة प्रतिशत",
}  # fmt: skip
UNITS = {word.replace("\u00a0", " "): name for name, words in _NAMES.items() for word in words.split(" ")} | {
    code: code for code in CODES
}
_ALTERNATIVES = "|".join(re.escape(word) for word in sorted(UNITS, key=lambda word: (-len(word), word)))
BEHIND = re.compile(rf"[ \u00a0-]?(?P<unit>{_ALTERNATIVES}|[{''.join(SYMBOLS)}])(?![A-Za-zа-я_\d])")
"""A unit behind a number, with at most one blank between."""
GLUED = frozenset(
    {
        "km", "cm", "mm", "m", "mi", "ft", "yd", "kg", "g", "mg", "lb", "lbs", "oz", "l", "ml", "h", "hr", "hrs", "min",
        "mins", "s", "sec", "ms", "kWh", "kW", "KB", "kB", "MB", "GB", "TB", "mph", "USD", "EUR", "GBP",
    }
)  # fmt: skip
"""Latin units that may stand behind the digits without a blank; other letters there make an identifier."""


def unit_behind(text: str, at: int) -> str | None:
    """The unit that stands behind a number which ends at a character."""
    hit = BEHIND.match(text, at)
    if hit is None:
        return None
    word = hit["unit"]
    if hit.start("unit") == at and word.isascii() and word.isalpha() and word not in GLUED:
        return None
    return UNITS.get(word) or SYMBOLS[word]


__all__ = ["CODES", "GLUED", "SYMBOLS", "UNITS", "unit_behind"]
