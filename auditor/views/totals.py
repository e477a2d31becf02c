"""What the calls of a run used and cost in all, with how many of them say nothing about it.

Read from the JSON bodies of structures, which may be of an older version: a field that is absent or cannot be read
counts as missing, never as zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning")
_MOST_TEXT = 60
"""Characters of a cost that are read: the price table bounds them well below (18 places, tokens below 2**63)."""
_EXACT = Context(prec=200, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over the calls that say so; None where no call does.

    `cost` is US dollars as exact decimal text. Of `calls`, `without_tokens` came without usage (`without_output` of
    these have no output either: failed attempts, mostly), and `without_price` have usage but no entry in the table.
    """

    calls: int = 0
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    without_tokens: int = 0
    without_output: int = 0
    cost: str | None = None
    without_price: int = 0
    prices: tuple[str, ...] = ()
    """Versions of the price tables that were used."""


def totals(calls: Iterable[Mapping[str, Any]]) -> Totals:
    """Sums over calls in their JSON form."""
    counts: dict[str, int | None] = dict.fromkeys(COUNTS)
    number = silent = empty = unpriced = 0
    dollars: Decimal | None = None
    prices: set[str] = set()
    for call in calls:
        number += 1
        tokens, cost = call.get("tokens"), _dollars(call.get("cost"))
        if not isinstance(tokens, Mapping):
            silent += 1
            empty += not call.get("outputs")
        for name in COUNTS:
            value = tokens.get(name) if isinstance(tokens, Mapping) else None
            if isinstance(value, int):
                counts[name] = (counts[name] or 0) + value
        if cost is not None:
            dollars = cost[0] if dollars is None else _EXACT.add(dollars, cost[0])
            prices.add(cost[1])
        elif isinstance(tokens, Mapping):
            unpriced += 1
    text = None if dollars is None else _plain(dollars)
    return Totals(
        calls=number, **counts, without_tokens=silent, without_output=empty, cost=text, without_price=unpriced,
        prices=tuple(sorted(prices)),
    )  # fmt: skip


def _dollars(cost: object) -> tuple[Decimal, str] | None:
    """(amount, version of the price table), or None for what is no cost."""
    if not isinstance(cost, Mapping):
        return None
    text = cost.get("usd")
    if not isinstance(text, str) or len(text) > _MOST_TEXT or "e" in text.lower():
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return (amount, str(cost.get("prices"))) if amount.is_finite() else None


def _plain(amount: Decimal) -> str:
    """Without exponent and without zeros that say nothing."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def tokens_text(sums: Totals) -> str:
    """`1,234 in, 56 out`, or that nobody gave them."""
    if sums.input is None and sums.output is None:
        return "not given" if sums.calls else "no calls"
    return f"{_count(sums.input)} in, {_count(sums.output)} out"


def cost_text(sums: Totals) -> str:
    """`$0.0123`, or why there is none."""
    if sums.cost is not None:
        return f"${sums.cost}"
    return "no price" if sums.without_price else "not given" if sums.calls else "no calls"


def sentences(sums: Totals) -> list[str]:
    """Tokens and cost of a run in full, and what the sums leave out."""
    parts = [
        f"{_count(value)} {name}"
        for name, value in (
            ("read from cache", sums.cache_read), ("written to cache", sums.cache_write), ("reasoning", sums.reasoning),
        )
        if value is not None
    ]  # fmt: skip
    tokens = f"tokens: {tokens_text(sums)}" + (f" (of these {', '.join(parts)})" if parts else "")
    if sums.without_tokens:
        silent = f", {sums.without_output} of them without any output" if sums.without_output else ""
        tokens += f"; {sums.without_tokens} of {_calls(sums.calls)} gave no usage{silent}"
    cost = f"cost: {cost_text(sums)}" + (f" by prices {', '.join(sums.prices)}" if sums.prices else "")
    if sums.without_price:
        cost += f"; no price for {sums.without_price} of {_calls(sums.calls)}"
    return [tokens, cost]


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _calls(number: int) -> str:
    return f"{number} call" + ("" if number == 1 else "s")
