"""The filter never denies what it was given, and seldom claims what it was not."""

import hashlib
import math
from pathlib import Path

from auditor.ledger.protocol import Entry
from auditor.ledger.seen import BITS, Seen
from auditor.ledger.sqlite import SqliteLedger


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def test_no_is_never_wrong_and_yes_seldom() -> None:
    seen, held = Seen(), 100_000
    for number in range(held):
        seen.add(digest(number))
    assert all(digest(number) in seen for number in range(held))
    wrong = sum(digest(number) in seen for number in range(held, 2 * held))
    expected = held * (1 - math.exp(-4 * held / BITS)) ** 4
    assert wrong <= expected + 6 * math.sqrt(expected) + 3


def test_what_an_earlier_process_stored_is_found_again(tmp_path: Path) -> None:
    first = SqliteLedger(tmp_path / "ledger.db")
    address = first.put(b"the same bytes")
    first.append([Entry(kind="gap", source="s", body={})])
    first.close()
    second = SqliteLedger(tmp_path / "ledger.db")
    assert second.put(b"the same bytes") == address
    assert second.put(b"other bytes") == second.put(b"other bytes") != address
    second.close()
