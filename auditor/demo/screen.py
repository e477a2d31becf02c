"""What people see while a demo works: one line per phase that moves, then a table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from auditor.demo.report import Report, VerdictRow

STYLES = {"relied_on": "green", "decorative": "yellow", "contradicted": "red", "undetermined": "dim"}


class Screen:
    """Phases with a spinner, a bar and the time they took; `seconds` keeps the times."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("[dim]{task.fields[note]}"), console=console,
        )  # fmt: skip
        self._last_plain = 0.0

    @contextmanager
    def shown(self) -> Iterator["Screen"]:
        with self._progress:
            yield self

    @contextmanager
    def phase(self, name: str, title: str, total: int | None = None) -> Iterator["Phase"]:
        """Time a phase; where no terminal is attached, a plain line every two seconds shows that something moves."""
        started = time.monotonic()
        task = self._progress.add_task(title, total=total, note="")
        phase = Phase(self, self._progress, int(task), title)
        try:
            yield phase
        finally:
            self.seconds[name] = round(time.monotonic() - started, 2)
            self._progress.update(task, total=phase.total_or(1), completed=phase.total_or(1))
            self._progress.stop_task(task)
            if not self.console.is_terminal:
                self.console.print(f"{title}: {self.seconds[name]:.1f} s", highlight=False)

    def plain(self, line: str) -> None:
        if not self.console.is_terminal and time.monotonic() - self._last_plain >= 2:
            self._last_plain = time.monotonic()
            self.console.print(line, highlight=False)


class Phase:
    """One line of the screen."""

    def __init__(self, screen: Screen, progress: Progress, task: int, title: str) -> None:
        self._screen = screen
        self._progress = progress
        self._task = task
        self._title = title
        self._done = 0
        self._total: int | None = None

    def total_or(self, otherwise: int) -> int:
        return self._total or otherwise

    def update(self, done: int | None = None, total: int | None = None, note: str = "") -> None:
        if done is not None:
            self._done = done
        self._total = total or self._total
        self._progress.update(self._task, completed=self._done, total=total, note=note)  # type: ignore[arg-type]
        self._screen.plain(f"  {self._title} {self._done}{'' if total is None else f'/{total}'} {note}".rstrip())

    def advance(self, note: str = "") -> None:
        self.update(self._done + 1, note=note)

    def tick(self) -> None:
        self._screen.plain(f"  {self._title} …")


def verdict_table(rows: list[VerdictRow]) -> Table:
    """claim · verdict · effect with interval and unit · method · planted truth"""
    table = Table(title="Stated reasons, tested", title_justify="left", show_lines=False, expand=False)
    for name in ("run", "claim", "verdict", "effect", "method", "planted truth"):
        table.add_column(name, overflow="fold" if name in {"run", "method"} else "ellipsis", no_wrap=name != "method")
    for row in rows:
        mark = {True: " ✓", False: " ✗ wrong", None: ""}[row.right]
        word = row.verdict.replace("_", " ") + (f" ({row.reason})" if row.reason else "")
        table.add_row(
            Text(row.run), Text(f"{row.source} → {row.target}"), Text(word, style=STYLES[row.verdict]),
            Text(effect_text(row.effect)), Text(row.method, style="dim"), Text(row.truth + mark),
        )  # fmt: skip
    return table


def effect_text(effect: dict[str, object]) -> str:
    """`8.53 nats [8.11, 8.95] 95 %`, or the reason why there is no number."""
    value, interval = effect["value"], effect["interval"]
    if value is None:
        return f"none: {effect.get('reason') or 'not measured'}"
    text = f"{value:.3g} {effect['unit']}"
    if isinstance(interval, list):
        text += f" [{interval[0]:.3g}, {interval[1]:.3g}] {100 * float(effect['confidence'] or 0):.0f} %"  # type: ignore[arg-type]
    return text


def summary_lines(report: Report) -> list[str]:
    """The figures a reader looks for first."""
    one = report.summary
    share = one["undetermined"] / one["claims_with_known_truth"] if one["claims_with_known_truth"] else 0.0
    return [
        f"{len(report.runs)} runs, {len(report.verdicts)} claims judged; {one['claims_with_known_truth']} with known "
        f"truth ({one['used']} used, {one['unused']} unused) over {one['families']} families: "
        f"{one['wrong']} wrong, {share:.0%} undetermined.",
        "Evidence: " + ", ".join(f"{kind} {count}" for kind, count in sorted(report.evidence.items())) + ".",
        f"Ledger: {report.ledger.get('records')} records, "
        + ("every hash re-derived." if report.ledger.get("verified") else "VERIFICATION FAILED."),
    ]
