"""How far facts have come, counted against the ledger itself."""

from pathlib import Path

from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.watermarks import Watermarks


def entry(kind: str, project: str, run: str | None = None) -> Entry:
    return Entry(kind=kind, source="test", project=project, body={} if run is None else {"run": run})


def test_each_mark_counts_what_it_says(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.append([entry("exchange", "a"), entry("span", "a")])
    marks = Watermarks(ledger)
    ledger.append([entry("exchange", "a"), entry("exchange", "b"), entry("structure", "a", "r1"),
                   entry("structure", "a", "r2"), entry("structure", "a", "r1"), entry("evidence", "a", "r1"),
                   entry("gap", "b"), entry("log", "b")])  # fmt: skip
    a, b = marks.view({"a": 3, "b": 1, "c": 2}, 0, 3)[:2]
    assert (a.project, a.accepted, a.durable, a.projected, a.runs, a.evidence_attached) == ("a", 5, 3, 3, 2, 1)
    assert (b.project, b.accepted, b.durable, b.projected, b.runs, b.evidence_attached) == ("b", 2, 2, 1, 0, 0)
    (c,) = marks.view({"a": 3, "b": 1, "c": 2}, 0, 3)[2:]
    assert (c.accepted, c.durable) == (2, 0)
    ledger.append([entry("exchange", "a"), entry("exchange", "a"), entry("evidence", "a", "r2")])
    a = marks.view({"a": 3}, 0, ledger.head().position)[0]
    assert (a.accepted, a.durable, a.projected, a.evidence_attached) == (5, 5, 5, 2)
    assert marks.view({"a": 3}, 0, 1)[0].projected == 2  # a graph that is being rebuilt
    ledger.close()
