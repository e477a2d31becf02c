"""Counts, per project, how far recorded facts have come; only what is new since the last look is counted."""

from collections import Counter
from collections.abc import Mapping

from auditor.ledger.protocol import Ledger
from auditor.views.commands import Watermark

FACTS = ("exchange", "span", "log", "transcript")


class Watermarks:
    """Not thread-safe; the caller takes turns."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._durable = _Count(ledger, FACTS)
        self._calls = _Count(ledger, ("exchange",))
        self._calls_then = _Count(ledger, ("exchange",))
        self._projected = _Count(ledger, FACTS)
        self._structured = _Count(ledger, ("structure",))
        self._evidence = _Count(ledger, ("evidence",))

    def view(
        self, taken: Mapping[str, int], recorded: Mapping[str, int], upto: int, projected: int
    ) -> list[Watermark]:
        """
        Args:
            taken: project -> calls this server's proxy took.
            recorded: project -> those of them that are in the ledger, as of position `upto`.
            projected: ledger position the graph has reached.
        """
        head = self._ledger.head().position
        durable = self._durable.upto(head).facts
        since = self._calls.upto(head).facts - self._calls_then.upto(min(upto, head)).facts
        ahead = self._projected.upto(min(projected, head)).facts
        structured, evidence = self._structured.upto(head).runs, self._evidence.upto(head).runs
        items = []
        for project in sorted({*durable, *taken, *(name for name, _ in structured)}):
            waiting = max(0, taken.get(project, 0) - recorded.get(project, 0) - since[project])
            runs = {run for name, run in structured if name == project}
            items.append(Watermark(
                project=project, accepted=durable[project] + waiting, durable=durable[project],
                projected=ahead[project], runs=len(runs),
                evidence_attached=sum((project, run) in evidence for run in runs),
            ))  # fmt: skip
        return items


class _Count:
    """Records of some kinds up to a position, counted bit by bit."""

    def __init__(self, ledger: Ledger, kinds: tuple[str, ...], after: int = -1) -> None:
        self._ledger = ledger
        self._kinds = kinds
        self._position = after
        self.facts: Counter[str] = Counter()
        self.runs: set[tuple[str, str]] = set()

    def upto(self, position: int) -> "_Count":
        if position < self._position and position >= 0:  # a graph that is being rebuilt begins again
            self._position, self.facts, self.runs = -1, Counter(), set()
        if position > self._position:
            for _, project, run, count in self._ledger.tally(self._position, position, self._kinds):
                self.facts[project] += count
                if run is not None:
                    self.runs.add((project, run))
            self._position = position
        return self
