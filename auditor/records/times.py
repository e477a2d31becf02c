"""Times as RFC 3339 UTC text with nine digits: `2026-01-02T03:04:05.000000006Z`."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_text() -> str:
    """The wall clock now, to the nanosecond the system gives."""
    return time_text(time.time_ns())


def time_text(unix_ns: int) -> str:
    """Nanoseconds since 1970 (UTC) as RFC 3339 text with nine digits."""
    seconds, rest = divmod(unix_ns, 1_000_000_000)
    return f"{_second_text(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def unix_ns(text: str) -> int:
    """Inverse of time_text."""
    head, _, rest = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(head + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int((rest or "0").ljust(9, "0")[:9])
