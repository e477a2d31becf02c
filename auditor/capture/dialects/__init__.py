"""Wire dialects: recorded bytes -> calls. One file per dialect, one table (catalogue)."""

from auditor.capture.dialects.catalogue import by_name
from auditor.records.exchange import Exchange
from auditor.records.messages import Call

__all__ = ["parse_exchange"]


def parse_exchange(record: str, exchange: Exchange, request: bytes, response: bytes) -> Call:
    """The call an exchange record holds; `unparsed` says why where its bytes are not understood. Never raises."""
    dialect = by_name(exchange.dialect)
    if dialect is None:
        reason = f"no dialect reads {exchange.method} {exchange.path}"
        return Call(record=record, model=exchange.model or "unknown", messages=(), outputs=(), unparsed=reason)
    return dialect.parse(record, exchange, request, response)
