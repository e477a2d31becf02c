"""Verification notices whatever is changed behind the ledger's back, and names the first record that fails."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.errors import LedgerBroken
from auditor.ledger.blobs import pack, unpack
from auditor.ledger.chain import link
from auditor.ledger.protocol import Entry, Verification
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify
from auditor.records.canonical import leaf_hash
from auditor.records.exchange import Payload
from auditor.records.wire import write

BODY = b'{"model":"m","messages":[{"role":"user","content":"one"},{"role":"user","content":"two"}]}'
SPANS = [(25, 56), (57, 88)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of eight records; record 5 cites a split payload, record 6 a whole one."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    for number in range(5):
        body = {"what": "x", "why": str(number), "run": "r", "record": None, "large": 2.0**60}
        ledger.append([Entry(kind="gap", source="api", body=body)])
    ref = ledger.put_split(BODY, SPANS)
    assert ref.messages == 2
    ledger.append([Entry(kind="exchange", source="proxy", body={"request": write(ref), "run": None})])
    whole = Payload(address=ledger.put(b"response " * 40), size=360)
    ledger.append([Entry(kind="exchange", source="proxy", body={"response": write(whole), "run": None})])
    ledger.append([Entry(kind="gap", source="api", body={"what": "y", "why": "7"})])
    ledger.close()
    return tmp_path / "ledger.db"


def answer(path: Path, change: Callable[[sqlite3.Connection], object] | None = None, **more: object) -> Verification:
    if change is not None:
        connection = sqlite3.connect(path, isolation_level=None)
        change(connection)
        connection.close()
    ledger = SqliteLedger(path)
    try:
        return verify(ledger, **more)  # type: ignore[arg-type]
    finally:
        ledger.close()


def canonical(connection: sqlite3.Connection, position: int) -> bytes:
    codec, data = connection.execute("SELECT codec, data FROM records WHERE position=?", (position,)).fetchone()
    return unpack(codec, data)


def rewrite(connection: sqlite3.Connection, position: int, data: bytes) -> None:
    codec, packed = pack(data)
    connection.execute("UPDATE records SET codec=?, data=? WHERE position=?", (codec, packed, position))


def test_an_untouched_ledger_is_intact_and_complete(path: Path) -> None:
    found = answer(path)
    assert (found.intact, found.complete, found.first_bad, found.problems) == (True, True, None, ())
    assert (found.records, found.payloads) == (8, 6)
    assert found.head.position == 7


def test_a_changed_word_is_found(path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        rewrite(connection, 3, canonical(connection, 3).replace(b'"why":"3"', b'"why":"4"'))

    found = answer(path, change)
    assert (found.intact, found.first_bad) == (False, 3)
    assert "record 3" in found.problems[0]


def test_a_changed_record_with_its_own_new_id_breaks_the_chain(path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        data = canonical(connection, 3).replace(b'"why":"3"', b'"why":"4"')
        rewrite(connection, 3, data)
        connection.execute("UPDATE records SET id=? WHERE position=3", (leaf_hash(data),))

    found = answer(path, change)
    assert (found.intact, found.first_bad) == (False, 3)


def forge_tail(connection: sqlite3.Connection) -> None:
    """Rewrite record 6 and every chain value behind it, as somebody with write access can."""
    data = canonical(connection, 7).replace(b'"y"', b'"z"')
    rewrite(connection, 7, data)
    previous = connection.execute("SELECT chain FROM records WHERE position=6").fetchone()[0]
    own = leaf_hash(data)
    connection.execute("UPDATE records SET id=?, chain=? WHERE position=7", (own, link(previous, own)))


def test_a_forged_tail_needs_a_head_noted_elsewhere(path: Path) -> None:
    before = answer(path).head
    assert answer(path, forge_tail).intact  # a chain without an outside anchor cannot see this
    found = answer(path, expected=before)
    assert (found.intact, found.first_bad) == (False, 7)


def test_a_cut_off_tail_needs_a_head_noted_elsewhere(path: Path) -> None:
    before = answer(path).head
    found = answer(path, lambda c: c.execute("DELETE FROM records WHERE position=7"), expected=before)
    assert found.intact
    assert not found.complete


def test_a_removed_record_is_found(path: Path) -> None:
    found = answer(path, lambda c: c.execute("DELETE FROM records WHERE position=2"))
    assert (found.intact, found.complete, found.first_bad) == (False, False, 3)


def test_a_removed_record_of_one_source_is_missed_even_when_the_chain_was_redone(path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM records WHERE position=6")
        connection.execute("DELETE FROM records WHERE position=7")
        data = canonical(connection, 5).replace(b'"seq":0', b'"seq":1')
        rewrite(connection, 5, data)
        own = leaf_hash(data)
        previous = connection.execute("SELECT chain FROM records WHERE position=4").fetchone()[0]
        connection.execute("UPDATE records SET seq=1, id=?, chain=? WHERE position=5", (own, link(previous, own)))

    found = answer(path, change)
    assert (found.intact, found.complete, found.first_bad) == (True, False, 5)


def test_other_bytes_for_the_same_values_are_found(path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        data = canonical(connection, 7).replace(b'"what":"y"', b'"what": "y"')
        rewrite(connection, 7, data)
        own = leaf_hash(data)
        previous = connection.execute("SELECT chain FROM records WHERE position=6").fetchone()[0]
        connection.execute("UPDATE records SET id=?, chain=? WHERE position=7", (own, link(previous, own)))

    found = answer(path, change)
    assert (found.intact, found.first_bad) == (False, 7)
    assert "canonical" in found.problems[0]


@pytest.mark.parametrize("column", ["kind", "project", "source", "run"])
def test_a_record_filed_under_another_name_is_found(path: Path, column: str) -> None:
    found = answer(path, lambda c: c.execute(f"UPDATE records SET {column}='other' WHERE position=4"))
    assert (found.intact, found.first_bad) == (False, 4)


def test_a_changed_response_names_the_record_that_cites_it(path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        codec, packed = pack(b"RESPONSE " * 40)
        connection.execute("UPDATE payloads SET codec=?, data=? WHERE size=360", (codec, packed))

    found = answer(path, change)
    assert (found.intact, found.first_bad) == (False, 6)


def test_a_changed_message_names_the_record_whose_conversation_holds_it(path: Path) -> None:
    data = b'{"role":"user","content":"ONE"}'
    found = answer(path, lambda c: c.execute("UPDATE payloads SET data=? WHERE data=?", (data, BODY[25:56])))
    assert (found.intact, found.first_bad) == (False, 5)


def test_a_changed_link_of_a_conversation_is_found(path: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE contexts SET parent=zeroblob(32)")

    found = answer(path, change)
    assert (found.intact, found.first_bad) == (False, 5)


def test_a_missing_payload_is_incomplete_not_damaged(path: Path) -> None:
    found = answer(path, lambda c: c.execute("DELETE FROM payloads WHERE size=360"))
    assert (found.intact, found.complete, found.first_bad) == (True, False, 6)


def test_damaged_bytes_are_never_handed_out(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    address = connection.execute("SELECT address FROM payloads WHERE size=360").fetchone()[0]
    connection.execute("UPDATE payloads SET data=x'00112233', codec=0 WHERE size=360")
    connection.close()
    ledger = SqliteLedger(path)
    with pytest.raises(LedgerBroken):
        ledger.payload(address.hex())
    ledger.close()


def test_garbage_in_a_record_row_is_a_finding_not_a_crash(path: Path) -> None:
    found = answer(path, lambda c: c.execute("UPDATE records SET data=x'ff00' WHERE position=1"))
    assert (found.intact, found.first_bad) == (False, 1)
