"""Derive the whole ledger again and compare: ids, chain, payload addresses, prefix chain, completeness.

Integrity: what is stored is what was appended. Completeness: nothing that should be there is missing, as far as that
can be told from inside. A cut-off tail cannot: give `expected`, a head kept elsewhere.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from auditor.errors import BadValue, LedgerBroken
from auditor.ledger.blobs import SKELETON_START, Skeleton
from auditor.ledger.chain import ZERO, context_link, link, payload_address
from auditor.ledger.protocol import Head, Verification
from auditor.ledger.rows import RawRecord
from auditor.ledger.writer import looked_up
from auditor.records.canonical import canonical_bytes, leaf_hash, read_canonical

MOST_PROBLEMS = 100
_COLUMNS = ("kind", "project", "source", "seq")
_ADDRESS_FIELDS = {"address", "payload", "effects", "tools"}


class Rows(Protocol):
    """What verification needs from a store: its rows, undecoded."""

    def head(self) -> Head: ...
    def raw_records(self) -> Iterator[RawRecord]: ...
    def raw_payloads(self) -> Iterator[tuple[str, bytes, int, bytes | None]]: ...
    def raw_contexts(self) -> Iterator[tuple[str, str, str]]: ...


def verify(ledger: Rows, expected: Head | None = None) -> Verification:
    """Check every record and payload. `expected` is a head noted earlier, e.g. on another machine."""
    return _Check(ledger, expected).run()


class _Check:
    def __init__(self, ledger: Rows, expected: Head | None) -> None:
        self._ledger = ledger
        self._expected = expected
        self._problems: list[str] = []
        self._first_bad: int | None = None
        self._intact = True
        self._complete = True
        self._bad: set[str] = set()
        self._sizes: set[str] = set()
        self._lengths: dict[str, int] = {}
        self._ends: dict[str, tuple[str, str]] = {}
        """Skeleton address -> head and tail of the body it is left of."""
        self._seqs: dict[tuple[str, str], int] = {}

    def run(self) -> Verification:
        last = self._ledger.head().position  # what is appended while we look may cite payloads we did not see
        payloads = self._payloads()
        self._contexts()
        head = Head(position=-1, chain=ZERO)
        count = 0
        for row in self._ledger.raw_records():
            if row.position > last:
                break
            count += 1
            head = self._record(row, head)
        if self._expected is not None and self._expected.position > head.position:
            self._note(f"the ledger ends at {head.position}, but had reached {self._expected.position}", complete=False)
        return Verification(
            records=count, payloads=payloads, intact=self._intact, complete=self._complete,
            first_bad=self._first_bad, problems=tuple(self._problems), head=head,
        )  # fmt: skip

    def _note(self, problem: str, *, position: int | None = None, complete: bool = True) -> None:
        """Keep a problem: of completeness when `complete` is False, else of integrity."""
        if complete:
            self._intact = False
        else:
            self._complete = False
        if position is not None and (self._first_bad is None or position < self._first_bad):
            self._first_bad = position
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(problem)

    def _payloads(self) -> int:
        count = 0
        for address, salt, size, data in self._ledger.raw_payloads():
            count += 1
            self._sizes.add(address)
            if data is None or payload_address(salt, data) != address:
                self._bad.add(address)
                self._note(f"payload {address} does not match its address")
            elif data.startswith(SKELETON_START):
                with contextlib.suppress(LedgerBroken):  # a payload that only looks like one is no skeleton
                    skeleton = Skeleton.from_bytes(data)
                    self._ends[address] = (skeleton.head, skeleton.tail)
            if data is not None and len(data) != size:
                self._bad.add(address)
                self._note(f"payload {address} has {len(data)} bytes, not {size}")
        return count

    def _contexts(self) -> None:
        links = {}
        for own, parent, address in self._ledger.raw_contexts():
            links[own] = (parent, address)
            if context_link(parent, address) != own:
                self._bad.add(own)
                self._note(f"context {own} does not match its hash")
        for own in links:
            self._measure(own, links)

    def _measure(self, own: str, links: dict[str, tuple[str, str]]) -> None:
        """Length of a prefix chain; a link is bad when anything before it is."""
        path: list[str] = []
        while own != ZERO and own not in self._lengths and own in links and len(path) <= len(links):
            path.append(own)
            own = links[own][0]
        length = 0 if own == ZERO else self._lengths.get(own, -1)
        broken = length < 0 or own in self._bad
        for step in reversed(path):
            parent, address = links[step]
            length += 1
            broken = broken or step in self._bad or address in self._bad or address not in self._sizes
            if broken:
                self._bad.add(step)
            self._lengths[step] = length

    def _record(self, row: RawRecord, head: Head) -> Head:
        where = f"record {row.position}"
        if row.position != head.position + 1:
            self._note(f"{where} follows {head.position}", position=row.position, complete=False)
        if leaf_hash(row.data) != row.id:
            self._note(f"{where} does not match its id", position=row.position)
        chain = link(head.chain, row.id)
        if chain != row.chain:
            self._note(f"{where} does not continue the chain", position=row.position)
        if self._expected is not None and self._expected.position == row.position and self._expected.chain != row.chain:
            self._note(f"{where} is not the head that was noted", position=row.position)
        self._content(row, where)
        return Head(position=row.position, chain=row.chain)

    def _content(self, row: RawRecord, where: str) -> None:
        try:
            form = read_canonical(row.data)
            canonical = canonical_bytes(form) == row.data
            body = form["body"]
            same = all(form[name] == getattr(row, name) for name in _COLUMNS)
            same = same and all(looked_up(body, name) == getattr(row, name) for name in ("run", "claim"))
        except (ValueError, KeyError, TypeError, AttributeError, BadValue) as fault:
            self._note(f"{where} cannot be read: {fault}", position=row.position)
            return
        if not canonical:
            self._note(f"{where} is not in canonical form", position=row.position)
        if not same:
            self._note(f"{where} is filed under columns that differ from its content", position=row.position)
        key = (row.project, row.source)
        if row.seq != self._seqs.get(key, -1) + 1:
            wanted = self._seqs.get(key, -1) + 1
            self._note(
                f"{where}: source {row.source!r} of project {row.project!r} goes on with {row.seq}, not {wanted}",
                position=row.position, complete=False,
            )  # fmt: skip
        self._seqs[key] = row.seq
        for cited in addresses(body):
            self._cited(cited, where, row.position)

    def _cited(self, cited: str, where: str, position: int) -> None:
        for address in (cited, *self._ends.get(cited, ())):
            if address in self._bad:
                self._note(f"{where} cites {address}, which is damaged", position=position)
            elif address not in self._sizes and address not in self._lengths:
                self._note(f"{where} cites {address}, which is missing", position=position, complete=False)


def addresses(body: Any) -> Iterator[str]:
    """Payload addresses and contexts a body cites: 64 hex digits under the fields that hold such."""
    if isinstance(body, dict):
        for name, value in body.items():
            if isinstance(value, str):
                if (name in _ADDRESS_FIELDS or (name == "context" and "address" in body)) and _is_hash(value):
                    yield value
            else:
                yield from addresses(value)
    elif isinstance(body, list):
        for item in body:
            yield from addresses(item)


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)
