"""Single-value corruptions of tau-bench runs, by a fixed seed and a rule of its own: nothing of auditor is asked.

Three kinds of place, each changed in a copy of one run:

stated      a number of two digits or more, an amount of money, a date, a time or a code in an assistant's text whose
            value (by the forms below) is a scalar of an earlier tool result's JSON, or a word of an earlier plain
            result. Single digits are left out: one stands somewhere in nearly every result, so that no rule can tell
            whether *this* one is recorded.
argument    a scalar of a tool call's arguments: one word of three characters or more, or a number from 10 up, that
            stands as a word in an earlier message.
action      a word such as `booked` or `cancelled` that says something was done, in a text behind a call of a tool that
            does it and whose result was no error.

The false value is of the same kind: a number with as many digits; a date or time with another day or hour; a code of
the same shape from another run of the file, an argument of the same name from another run, an action whose tools were
not called in the run. It may stand elsewhere in the run by chance, as real mistakes do; such places say so.

Places whose true value is not recorded before are counted, not corrupted.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

SEED = 20240521
SHARES: Mapping[str, int] = {"stated": 200, "argument": 150, "action": 50}

Kind = Literal["stated", "argument", "action"]
Row = Mapping[str, Any]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_STATED = re.compile(
    r"(?<![\w-])(?P<iso>\d{4}-\d\d-\d\d)(?![\w-])"
    rf"|\b{_MONTH} (?P<day>\d\d?)(?=\b|st|nd|rd|th)"
    r"|(?<![\w:])(?P<time>\d\d?:\d\d)(?![\w:])(?P<half> ?[AaPp]\.?[Mm])?"
    r"|(?<![\w.:/,-])\$?(?P<number>\d{1,3}(?:,\d{3})+|\d\d+)(?:\.\d\d)?(?![\w:/-]|\.\d|,\d)"
    r"|(?<![\w-])(?P<code>[A-Z]{3,}\d+|(?=[A-Z]*\d)[A-Z0-9]{5,}|[A-Z]{3,6}|[a-z]+(?:_[a-z]+)*_\d{3,})(?![\w-])"
)
_FIELD = re.compile(r'"(?P<key>\w+)"\s*:\s*(?:"(?P<text>[^"\\]*)"|(?P<number>-?\d+(?:\.\d+)?))')
_ACTION = re.compile(
    r"\b(?:(?:has|have) been(?: now)?(?: successfully)?|successfully|I(?:'ve| have)(?: now| successfully)*)"
    r" (?P<word>cancelled|canceled|booked|updated|changed|modified|upgraded|issued|transferred)\b",
    re.IGNORECASE,
)
_DOES: Mapping[str, tuple[str, ...]] = {
    "cancelled": ("cancel_reservation",), "canceled": ("cancel_reservation",), "booked": ("book_reservation",),
    "updated": ("update_reservation_flights", "update_reservation_baggages", "update_reservation_passengers"),
    "changed": ("update_reservation_flights", "update_reservation_baggages", "update_reservation_passengers"),
    "modified": ("update_reservation_flights", "update_reservation_baggages", "update_reservation_passengers"),
    "upgraded": ("update_reservation_flights",), "issued": ("send_certificate",),
    "transferred": ("transfer_to_human_agents",),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One changed value. `start` and `end` are characters of the assistant's content, or of the call's arguments."""

    run: int
    kind: Kind
    message: int
    """Index in the trajectory."""
    call: int | None
    """Index of the tool call, None for the content."""
    start: int
    end: int
    true: str
    false: str
    elsewhere: bool
    """The false value stands in an earlier message of the run too."""
    form: str

    @property
    def name(self) -> str:
        call = "-" if self.call is None else self.call
        return f"{self.run}/{self.message}/{call}/{self.start} {self.true}>{self.false}"


def corrupted(rows: Sequence[Row], chosen: Corruption) -> dict[str, Any]:
    """A copy of the run with the one value changed."""
    row: dict[str, Any] = deepcopy(dict(rows[chosen.run]))
    message = row["traj"][chosen.message]
    holder, key = (message, "content")
    if chosen.call is not None:
        holder, key = message["tool_calls"][chosen.call]["function"], "arguments"
    text = holder[key]
    holder[key] = text[: chosen.start] + chosen.false + text[chosen.end :]
    return row


def draw(rows: Sequence[Row]) -> tuple[list[Corruption], dict[str, int]]:
    """The 400 corruptions, and how many places of each kind there are and were left out as not recorded."""
    chance = random.Random(SEED)
    pools = _pools(rows)
    counts: dict[str, int] = {}
    drawn: list[Corruption] = []
    for kind, share in SHARES.items():
        places = []
        for index, row in enumerate(rows):
            for place in _places(kind, index, row):
                recorded = place.pop("recorded")
                counts[f"{kind} places {'recorded' if recorded else 'not recorded'}"] = (
                    counts.get(f"{kind} places {'recorded' if recorded else 'not recorded'}", 0) + 1
                )
                if recorded:
                    places.append(place)
        chance.shuffle(places)
        made: list[Corruption] = []
        for place in places:
            false = _false(kind, place, rows[place["run"]], pools, chance)
            if false is not None and len(made) < share:
                made.append(_made(kind, place, rows[place["run"]], false))
        drawn += made
    return drawn, counts


def _made(kind: str, place: Mapping[str, Any], row: Row, false: str) -> Corruption:
    before = " ".join(_text(message) for message in row["traj"][: place["message"]])
    return Corruption(
        run=place["run"], kind=kind, message=place["message"],  # type: ignore[arg-type]
        call=place["call"], start=place["start"], end=place["end"],
        true=place["true"], false=false, elsewhere=_word_in(false, before), form=place["form"],
    )  # fmt: skip


def _places(kind: str, run: int, row: Row) -> Iterator[dict[str, Any]]:
    heard: set[object] = set()
    before: list[str] = []
    done: set[str] = set()
    names: dict[str, str] = {}
    for at, message in enumerate(row["traj"]):
        if message["role"] == "tool":
            heard |= set(_recorded(message["content"]))
            if not message["content"].lstrip().startswith("Error"):
                done.add(names.get(message["tool_call_id"], ""))
        if message["role"] == "assistant":
            base = {"run": run, "message": at, "call": None}
            content = message.get("content") or ""
            if kind == "stated":
                for hit in _STATED.finditer(content):
                    form, value, span = _value(hit)
                    known = bool(heard & value)
                    yield base | {"start": span[0], "end": span[1], "true": content[slice(*span)], "form": form,
                                  "recorded": known}  # fmt: skip
            elif kind == "action":
                for hit in _ACTION.finditer(content):
                    known = bool(done & set(_DOES[hit["word"].lower()]))
                    yield base | {"start": hit.start("word"), "end": hit.end("word"), "true": hit["word"],
                                  "form": "action", "recorded": known}  # fmt: skip
            for index, call in enumerate(message.get("tool_calls") or ()):
                names[call["id"]] = call["function"]["name"]
                if kind == "argument":
                    for place in _arguments(call["function"]["arguments"], " ".join(before)):
                        yield base | place | {"call": index}
        before.append(_text(message))


def _arguments(text: str, before: str) -> Iterator[dict[str, Any]]:
    for hit in _FIELD.finditer(text):
        group = "text" if hit["text"] is not None else "number"
        value = hit[group]
        if group == "text" and (len(value) < 3 or not re.fullmatch(r"\S+", value)):
            continue
        if group == "number" and abs(float(value)) < 10:
            continue
        yield {"start": hit.start(group), "end": hit.end(group), "true": value, "form": hit["key"],
               "recorded": _word_in(value, before)}  # fmt: skip


def _value(hit: "re.Match[str]") -> tuple[str, set[object], tuple[int, int]]:
    """Form, the values it may stand for, and the characters to change."""
    if hit["iso"]:
        return "date", {("day", hit["iso"][5:])}, hit.span("iso")
    if hit["day"]:
        month = _MONTHS.index(hit[0][:3].lower()) + 1
        return "day", {("day", f"{month:02d}-{int(hit['day']):02d}")}, hit.span("day")
    if hit["time"]:
        hour, minute = map(int, hit["time"].split(":"))
        half = (hit["half"] or "").strip().lower()[:1]
        hours = {hour % 12 + (12 if half == "p" else 0)} if half else {hour}
        return "time", {("time", one, minute) for one in hours}, hit.span("time")
    if hit["number"]:
        return "number", {("number", float(hit["number"].replace(",", "")))}, hit.span("number")
    return "code", {("code", hit["code"])}, hit.span("code")


def _recorded(text: str) -> Iterator[object]:
    """Values of a tool result: JSON scalars, or the words of a text."""
    try:
        data = json.loads(text)
    except ValueError:
        data = re.findall(r"[\w$.:-]+", text)
    todo = [data]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += [*one.values(), *one]
        elif isinstance(one, list):
            todo += one
        elif isinstance(one, (int, float)) and not isinstance(one, bool):
            yield ("number", float(one))
        elif isinstance(one, str):
            yield ("code", one.strip(".$"))
            for hit in re.finditer(r"\d{4}-(\d\d-\d\d)", one):
                yield ("day", hit[1])
            for hit in re.finditer(r"(?<!\d)(\d\d):(\d\d)", one):
                yield ("time", int(hit[1]), int(hit[2]))
            if re.fullmatch(r"\$?\d+(\.\d+)?\.?", one):
                yield ("number", float(one.strip("$.")))


def _false(
    kind: str, place: Mapping[str, Any], row: Row, pools: Mapping[tuple[str, str], list[str]], chance: random.Random
) -> str | None:
    true, form = place["true"], place["form"]
    if kind == "action":
        called = {call["function"]["name"] for message in row["traj"] for call in message.get("tool_calls") or ()}
        others = [word for word, tools in _DOES.items() if not called & set(tools)]
        if not others:
            return None
        word = chance.choice(others)
        return word.capitalize() if true[0].isupper() else word
    if form == "number" or kind == "argument" and re.fullmatch(r"\d+(\.\d+)?", true):
        return _number(true, chance)
    if form == "date":
        return f"{true[:8]}{_other(int(true[8:]), 1, 28, chance):02d}"
    if form == "day":
        return str(_other(int(true), 1, 28, chance))
    if form == "time":
        hour, minute = true.split(":")
        new = _other(int(hour), 1, 12, chance)
        return f"{new:02d}:{minute}" if len(hour) == 2 else f"{new}:{minute}"
    pool = pools.get(("code", _shape(true)) if kind == "stated" else ("argument", form), [])
    others = [one for one in pool if one != true]
    return chance.choice(others) if others else None


def _number(true: str, chance: random.Random) -> str:
    digits = re.sub(r"\D", "", true.partition(".")[0])
    while True:
        new = str(chance.randrange(10 ** (len(digits) - 1), 10 ** len(digits)))
        if new != digits:
            whole = f"{int(new):,}" if "," in true else new
            return whole + true[len(true.partition(".")[0]) :]


def _other(true: int, low: int, high: int, chance: random.Random) -> int:
    return chance.choice([one for one in range(low, high + 1) if one != true])


def _shape(code: str) -> str:
    return re.sub(r"\d+", "9", re.sub(r"[A-Z]", "A", code)) if "_" not in code else code.rpartition("_")[0]


def _pools(rows: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    """Codes by shape and arguments by name, over all runs, each once, in order."""
    pools: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        for message in row["traj"]:
            if message["role"] == "tool":
                for kind, *rest in _recorded(message["content"]):  # type: ignore[misc]
                    if kind == "code" and re.fullmatch(r"[A-Z0-9]{3,}|[a-z_]+_\d{3,}", str(rest[0])):
                        pools.setdefault(("code", _shape(str(rest[0]))), {})[str(rest[0])] = None
            for call in message.get("tool_calls") or ():
                for hit in _FIELD.finditer(call["function"]["arguments"]):
                    if hit["text"] is not None and re.fullmatch(r"\S{3,}", hit["text"]):
                        pools.setdefault(("argument", hit["key"]), {})[hit["text"]] = None
    return {key: list(values) for key, values in pools.items()}


def _text(message: Mapping[str, Any]) -> str:
    calls = " ".join(call["function"]["arguments"] for call in message.get("tool_calls") or ())
    return f"{message.get('content') or ''} {calls}"


def _word_in(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None
