"""How far facts have come, counted against the ledger itself."""

from pathlib import Path

from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.watermarks import Watermarks


def entry(kind: str, project: str, run: str | None = None) -> Entry:
    return Entry(kind=kind, source="test", project=project, body={} if run is None else {"run": run})


def test_each_mark_counts_what_it_says(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.append([entry("exchange", "a"), entry("span", "a")])  # of an earlier server
    marks = Watermarks(ledger)
    ledger.append([entry("exchange", "a"), entry("exchange", "b"), entry("structure", "a", "r1"),
                   entry("structure", "a", "r2"), entry("structure", "a", "r1"), entry("evidence", "a", "r1"),
                   entry("gap", "b"), entry("log", "b")])  # fmt: skip
    taken = {"a": 3, "b": 1, "c": 2}
    a, b, c = marks.view(taken, {"a": 1, "b": 1}, 3, 3)
    assert (a.project, a.accepted, a.durable, a.projected, a.runs, a.evidence_attached) == ("a", 5, 3, 3, 2, 1)
    assert (b.project, b.accepted, b.durable, b.projected, b.runs, b.evidence_attached) == ("b", 2, 2, 1, 0, 0)
    assert (c.accepted, c.durable) == (2, 0)
    # the follower has not said yet what it took in: the same
    assert [one.accepted for one in marks.view(taken, {}, 1, 3)] == [5, 2, 2]
    ledger.append([entry("exchange", "a"), entry("exchange", "a"), entry("evidence", "a", "r2")])
    head = ledger.head().position
    a = marks.view(taken, {"a": 3, "b": 1}, head, head)[0]
    assert (a.accepted, a.durable, a.projected, a.evidence_attached) == (5, 5, 5, 2)
    assert marks.view(taken, {"a": 3}, head, 1)[0].projected == 2  # a graph that is being rebuilt
    ledger.close()


def test_what_an_earlier_server_left_hides_nothing_that_waits(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    marks = Watermarks(ledger)
    assert marks.view({"a": 3}, {}, -1, -1)[0].accepted == 3
    ledger.append([entry("exchange", "a")] * 5)  # five that the killed server had taken
    a = marks.view({"a": 3, "b": 1}, {}, 4, -1)[0]
    assert (a.accepted, a.durable) == (8, 5)
    ledger.append([entry("exchange", "a"), entry("exchange", "b")])
    assert [one.accepted for one in marks.view({"a": 3, "b": 1}, {"a": 1, "b": 1}, 6, -1)] == [8, 1]
    ledger.close()
