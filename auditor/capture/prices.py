"""What a call cost, by a price table that is data: `prices.json` beside this file, or one of the user's own.

All arithmetic is exact (Decimal); a cost is given only where every piece of it is known: an unknown model, a service
tier or region with other prices, or a count that is missing gives no cost, never a guess. Tool requests are charged
where the table has a price for them; container time, storage and training are not tokens and not counted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from auditor.capture.exact import whole_text
from auditor.capture.usage import count, tokens
from auditor.errors import BadInput
from auditor.records.messages import Cost, Usage

_MILLION = Decimal(1_000_000)
MOST_DOLLARS = 1_000_000
MOST_PLACES = 18
"""Bounds of a price: exponents without end would make texts without end."""
_TIERS = (None, "standard", "default", "auto")
_REGIONS = (None, "global", "not_available")
_RATES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


@dataclass(frozen=True, kw_only=True)
class Rates:
    """US dollars per million tokens. A cache price that the table leaves out is that of input."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal


@dataclass(frozen=True, kw_only=True)
class Price:
    """One entry: which models, at what rates."""

    match: str
    rates: Rates
    above: int | None = None
    """Calls with more input tokens than this are charged by `long`; no cost where there is none."""
    long: Rates | None = None
    requests: Mapping[str, Decimal] = field(default_factory=dict)
    """US dollars for one request of a server tool, by its name in `usage.server_tool_use`."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """A price table; the first entry that matches a model's name counts."""

    version: str
    source: str
    entries: tuple[Price, ...]

    def of(self, model: str) -> Price | None:
        return next((entry for entry in self.entries if fnmatchcase(model, entry.match)), None)


def read_prices(path: Path | None = None) -> Prices:
    """A price table from a JSON file, or the one that comes with this version. BadInput says what is wrong with it."""
    if path is None:
        return _shipped()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise BadInput("prices", f"{path}: {fault.strerror}", "name a price table that can be read") from fault
    except UnicodeDecodeError as fault:
        raise BadInput("prices", f"{path} is not UTF-8 at byte {fault.start}", "write it in UTF-8") from fault
    return _table(text, str(path))


@cache
def _shipped() -> Prices:
    path = Path(__file__).with_name("prices.json")
    return _table(path.read_text(encoding="utf-8"), path.name)


def cost(prices: Prices, dialect: str | None, model: str, usage: Mapping[str, object]) -> Cost | None:
    """What a call with this usage cost; None where the table has no entry or a piece of it is not known.

    Anthropic's `iterations` (advisor, compaction, fallback) are charged one by one, each at its own model's rates.
    """
    entry = prices.of(model)
    if entry is None or not _ordinary(usage):
        return None
    iterations = usage.get("iterations")
    parts: list[Mapping[str, object]] = []
    if dialect == "anthropic_messages" and isinstance(iterations, list):
        parts = [one for one in iterations if isinstance(one, Mapping)]
    total = Decimal(0)
    for part in parts or [usage]:
        named = part.get("model")
        own = prices.of(named) if part is not usage and isinstance(named, str) else entry
        charged = _charge(own, dialect, part) if own is not None else None
        if charged is None:
            return None
        total += charged
    requests = _requests(entry, usage.get("server_tool_use"))
    if requests is None:
        return None
    return Cost(usd=_plain(total + requests), prices=prices.version, model=entry.match)


def cost_of_tokens(prices: Prices, model: str, counted: Usage, *, cache_included: bool) -> Cost | None:
    """What a call cost of which only normalised counts are known, as spans tell them; None where a piece is not known.

    cache_included: whether `counted.input` is known to include what was read from and written to the cache.
    """
    entry = prices.of(model)
    cached = bool(counted.cache_read or counted.cache_write)
    if entry is None or (cached and not cache_included):
        return None
    charged = _charge_counted(entry, counted, longer=None)
    return None if charged is None else Cost(usd=_plain(charged), prices=prices.version, model=entry.match)


def is_list_price(tier: object) -> bool:
    """Whether calls of this service tier are charged at list price."""
    return tier is None or (isinstance(tier, str) and tier in _TIERS)


def _ordinary(usage: Mapping[str, object]) -> bool:
    """Whether the call was charged at list price: no other service tier, no region with a surcharge."""
    return usage.get("service_tier") in _TIERS and usage.get("inference_geo") in _REGIONS


def _charge(entry: Price, dialect: str | None, usage: Mapping[str, object]) -> Decimal | None:
    """US dollars for the tokens of one usage."""
    counted = tokens(dialect, usage)
    if counted is None or (counted.output is None and dialect != "openai_embeddings"):
        return None
    if counted.output is None:
        counted = replace(counted, output=0)
    return _charge_counted(entry, counted, longer=count(usage.get("cache_creation"), "ephemeral_1h_input_tokens") or 0)


def _charge_counted(entry: Price, counted: Usage, longer: int | None) -> Decimal | None:
    """US dollars for these tokens, of which `longer` were written to the cache for an hour (None: not known)."""
    if counted.input is None:
        return None
    rates: Rates | None = entry.rates
    if entry.above is not None and counted.input > entry.above:
        rates = entry.long
    if rates is None:
        return None
    read, written = counted.cache_read or 0, counted.cache_write or 0
    fresh = counted.input - read - written
    if fresh < 0 or (counted.output is None and rates.output):
        return None
    if longer is None and written and rates.cache_write_5m != rates.cache_write_1h:
        return None
    longer = min(longer or 0, written)
    sums = (
        fresh * rates.input, (counted.output or 0) * rates.output, read * rates.cache_read,
        (written - longer) * rates.cache_write_5m, longer * rates.cache_write_1h,
    )  # fmt: skip
    return sum(sums, Decimal(0)) / _MILLION


def _requests(entry: Price, used: object) -> Decimal | None:
    """US dollars for requests of server tools; None when one that was used has no price."""
    total = Decimal(0)
    for name, number in used.items() if isinstance(used, Mapping) else ():
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
            continue
        if name not in entry.requests:
            return None
        total += number * entry.requests[name]
    return total


def _plain(value: Decimal) -> str:
    """Decimal text without exponent or needless zeros."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _table(text: str, where: str) -> Prices:
    try:
        raw = json.loads(whole_text(text), parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as fault:
        raise BadInput("prices", f"{where} is no JSON: {fault}", "write a price table") from fault
    if not isinstance(raw, dict) or not isinstance(raw.get("models"), list):
        raise BadInput("prices", f"{where} has no list `models`", "see auditor/capture/prices.json for the form")
    if raw.get("currency") != "USD":
        raise BadInput("prices.currency", f"{where} is not in USD", "write prices in US dollars")
    version, source = raw.get("version"), raw.get("source")
    if not isinstance(version, str) or not version:
        raise BadInput("prices.version", f"{where} has no version", "name it, so that costs say where they come from")
    entries = tuple(_entry(row, f"prices.models.{at}") for at, row in enumerate(raw["models"]))
    source = whole_text(source) if isinstance(source, str) else ""
    return Prices(version=whole_text(version), source=source, entries=entries)


def _entry(row: Any, field_: str) -> Price:
    if not isinstance(row, dict) or not isinstance(row.get("match"), str):
        raise BadInput(field_, "has no `match`", "name the models it is for, as a glob")
    above, long, requests = row.get("above"), row.get("long"), row.get("requests", {})
    if above is not None and not (isinstance(above, str) and above.isdecimal() and len(above) <= 18):
        raise BadInput(f"{field_}.above", "is no number of tokens", "write a whole number")
    if not isinstance(requests, dict):
        raise BadInput(f"{field_}.requests", "is no object", "write a price for one request under each tool's name")
    return Price(
        match=whole_text(row["match"]),
        rates=_rates(row, field_),
        above=int(above) if above is not None else None,
        long=_rates(long, f"{field_}.long") if long is not None else None,
        requests={name: _decimal(value, f"{field_}.requests.{name}") for name, value in requests.items()},
    )


def _rates(row: Any, field_: str) -> Rates:
    if not isinstance(row, dict):
        raise BadInput(field_, "is no object", "write input and output prices")
    plain = _decimal(row.get("input"), f"{field_}.input")
    found = {name: _decimal(row[name], f"{field_}.{name}") if name in row else plain for name in _RATES}
    if "output" not in row:
        raise BadInput(f"{field_}.output", "is missing", 'write a price, or "0" where there is no output')
    return Rates(**found)


def _decimal(value: Any, field_: str) -> Decimal:
    """A price from zero to MOST_DOLLARS; text or a JSON number, read as it is written."""
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        number = None
    places = number.as_tuple().exponent if number is not None else 0
    if number is None or not number.is_finite() or not 0 <= number <= MOST_DOLLARS or int(places) < -MOST_PLACES:
        raise BadInput(field_, f"{value!r} is no price", 'write US dollars per million tokens, for example "2.50"')
    return number
