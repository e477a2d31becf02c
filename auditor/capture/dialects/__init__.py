"""Wire dialects: recorded bytes -> calls. One file per dialect, one table (catalogue)."""

from dataclasses import replace

from auditor.capture.dialects.catalogue import by_name
from auditor.capture.exact import whole_text
from auditor.capture.prices import Prices, cost, read_prices
from auditor.capture.usage import tokens
from auditor.records.exchange import Exchange
from auditor.records.messages import COUNT_ONLY, Call

__all__ = ["parse_exchange"]


def parse_exchange(
    record: str, exchange: Exchange, request: bytes, response: bytes, prices: Prices | None = None
) -> Call:
    """The call an exchange record holds, with its tokens and, by `prices` (else the table that comes with this
    version), its cost; `unparsed` says why where its bytes are not understood. Never raises."""
    dialect = by_name(exchange.dialect)
    if dialect is None:
        reason = f"no dialect reads {exchange.method} {exchange.path}"
        return Call(record=record, model=exchange.model or "unknown", messages=(), outputs=(), unparsed=reason)
    call = dialect.parse(record, exchange, request, response)
    if call.unparsed is not None:  # it may quote an upstream's words, and records hold no torn characters
        call = replace(call, unparsed=whole_text(call.unparsed))
    counted = tokens(dialect.name, call.usage)
    if counted is None:
        return call
    table = prices if prices is not None else read_prices()
    charged = None if call.about == COUNT_ONLY else cost(table, dialect.name, call.model, call.usage)
    return replace(call, tokens=counted, cost=charged)
