"""What is particular to the SQLite store."""

import sqlite3
from concurrent.futures import Future
from pathlib import Path

import pytest

from auditor.errors import BadSetup, Unavailable
from auditor.ledger.open import open_ledger
from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.ledger.verify import verify


def entry(why: str) -> Entry:
    return Entry(kind="gap", source="api", body={"what": "x", "why": why})


@pytest.mark.parametrize("url", ["", "sqlite://here.db", "sqlite:///", "mysql://x", "/tmp/x.db"])
def test_an_address_that_is_none_says_what_to_write(url: str) -> None:
    with pytest.raises(BadSetup, match="write sqlite:///path"):
        open_ledger(url)


def test_a_file_that_is_no_database_is_bad_setup(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(BadSetup):
        SqliteLedger(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    SqliteLedger(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value='99'")
    connection.commit()
    connection.close()
    with pytest.raises(BadSetup, match="newer"):
        SqliteLedger(path)


def test_other_rooms_may_keep_tables_in_the_file_and_write_them_with_an_append(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "x.db")
    connection = ledger.connect()
    connection.execute("CREATE TABLE job(id TEXT, state TEXT)")
    connection.execute("INSERT INTO job VALUES('a', 'leased')")
    ledger.append([entry("done")], fence=lambda c: c.execute("UPDATE job SET state='done'"))
    assert connection.execute("SELECT state FROM job").fetchone() == ("done",)

    def half(c: sqlite3.Connection) -> None:
        c.execute("UPDATE job SET state='lost'")
        raise LookupError

    with pytest.raises(LookupError):
        ledger.append([entry("never")], fence=half)
    assert connection.execute("SELECT state FROM job").fetchone() == ("done",)
    connection.close()
    ledger.close()


def test_synchronous_is_full_and_the_log_is_ahead(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "x.db")
    connection = ledger.connect()
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    ledger.close()


def test_a_closed_ledger_refuses(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "x.db")
    ledger.close()
    ledger.close()
    with pytest.raises(Unavailable):
        ledger.append([entry("x")])
    with pytest.raises(Unavailable):
        list(ledger.records())


def test_a_failed_commit_is_told_and_payloads_wait_for_the_next(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "x.db")
    ledger.append([entry("first")])
    other = ledger.connect()
    other.execute("ALTER TABLE records RENAME TO away")  # stands for a disk that refuses
    address = ledger.put(b"kept in memory")
    with pytest.raises(Unavailable):
        ledger.append([entry("second")])
    other.execute("ALTER TABLE away RENAME TO records")
    assert ledger.append([entry("third")])[0].position == 1
    assert other.execute("SELECT count(*) FROM payloads WHERE address=?", (bytes.fromhex(address),)).fetchone() == (1,)
    other.close()
    assert verify(ledger).intact
    ledger.close()


def test_a_waiter_that_gave_up_does_not_stop_the_writer(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "x.db")
    futures: list[Future[object]] = [ledger.submit([entry(str(n))]) for n in range(50)]  # type: ignore[misc]
    for future in futures:
        future.cancel()
    assert ledger.append([entry("last")])[0].position == 50
    ledger.close()


def test_one_bad_fence_does_not_hurt_its_group(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "x.db")

    def bad(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM nowhere")

    futures = [ledger.submit([entry(str(n))], bad if n % 2 else None) for n in range(20)]
    kept = [number for number, future in enumerate(futures) if future.exception() is None]
    assert kept == list(range(0, 20, 2))
    assert verify(ledger).records == 10
    ledger.close()
