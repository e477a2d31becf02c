"""Attempts of one request. Clients repeat what failed and count: `x-stainless-retry-count` rises, nothing else.

An attempt is repeated by a later call of the same project with the same body and credential (keyed fingerprints), a
higher count, started at most 120 s later, when it failed: status 408, 409, 429 or from 500, or it never completed.
Two agents may send the same body at the same time, so one attempt is repeated by one call only.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.structure.inputs import RecordedCall

Table = Callable[..., MutableMapping[tuple[str, str], Any]]
"""Makes an empty mapping whose values may hold dataclasses of the kinds it is given: a dict, or one that keeps the
oldest elsewhere."""


def in_memory(*_kinds: type) -> MutableMapping[tuple[str, str], Any]:
    """A dict."""
    return {}


WITHIN = 120.0
"""Seconds between the starts of an attempt and the one that repeats it."""
_AGAIN = (408, 409, 429)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A failed attempt that a call repeats. `sure` where no other run has one it might as well repeat."""

    record: str
    run: str
    sure: bool


@dataclass
class _Failed:
    record: str
    run: str
    count: int
    started: float
    repeated_by: str | None = None


class Retries:
    """Keys of failed attempts, never their bodies."""

    def __init__(self, table: Table) -> None:
        self._failed: MutableMapping[tuple[str, str], list[_Failed]] = table(_Failed)

    def of(self, call: RecordedCall) -> Attempt | None:
        """The attempt this call repeats, or None: the one with the highest count, the earliest of equals."""
        found = self._candidates(call)
        if not found:
            return None
        best = max(found, key=lambda one: (one.count, -one.started))
        sure = len({one.run for one in found}) == 1
        return Attempt(record=best.record, run=best.run, sure=sure)

    def learn(self, call: RecordedCall, run: str) -> None:
        """Remember what this call repeats, and the call itself where it failed."""
        attempt = self.of(call)
        for one in self._candidates(call):
            if attempt is not None and one.record == attempt.record:
                one.repeated_by = call.id
        key, started = _key(call), seconds(call)
        if key is None or started is None:
            return
        rows = [one for one in self._failed.get(key, ()) if started - one.started <= WITHIN]
        if failed(call):
            rows.append(_Failed(call.id, run, call.joins.retry or 0, started))
        if rows:
            self._failed[key] = rows
        else:
            self._failed.pop(key, None)

    def _candidates(self, call: RecordedCall) -> list[_Failed]:
        key, started, count = _key(call), seconds(call), call.joins.retry
        if key is None or started is None or not count:
            return []
        return [
            one
            for one in self._failed.get(key, ())
            if one.repeated_by in (None, call.id) and one.record != call.id and one.count < count
            and 0 <= started - one.started <= WITHIN
        ]  # fmt: skip


def failed(call: RecordedCall) -> bool:
    """Whether a client would send this request again."""
    status = call.status
    return call.outcome != "complete" or status is None or status in _AGAIN or status >= 500


def _key(call: RecordedCall) -> tuple[str, str] | None:
    joins = call.joins
    return None if joins.body is None else (call.project, f"{joins.body} {joins.credential}")


def seconds(call: RecordedCall) -> float | None:
    """When a call began, seconds since 1970; None where its time cannot be read."""
    try:
        return datetime.fromisoformat(call.times.started).timestamp()
    except ValueError:
        return None
