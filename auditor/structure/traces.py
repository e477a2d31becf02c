"""Which run a place in a trace belongs to. Looks at the whole trace, never at the order of arrival: late and
out-of-order spans end in the same run (the rules are in threads)."""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field

from auditor.records.telemetry import RUN_ATTRIBUTE, TelemetrySpan
from auditor.structure.inputs import Joined, RecordedCall, RecordedSpan
from auditor.structure.retries import Table
from auditor.structure.spans import given_tools, named_tools, trace_of

Settled = Callable[[str, str], str]
"""(project, run) -> the run after merges."""


@dataclass
class _Trace:
    """What is known of one trace, whatever the order it came in."""

    tells: bool = False
    """Whether a span of it tells of an agent, a model, a tool or a retrieval."""
    sessions: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    """Runs of the proxied calls that belong to it."""


class Traces:
    """Keys only, each under (project, key); `table` makes the mappings that grow with what is recorded."""

    def __init__(
        self, table: Table, settled: Settled, responses: Mapping[tuple[str, str], str]
    ) -> None:
        """responses: id of an answer a proxied call gave -> its run, kept by the caller."""
        self._settled = settled
        self._responses = responses
        self._span_runs: MutableMapping[tuple[str, str], str] = table()
        self._parents: MutableMapping[tuple[str, str], str | None] = table()
        self._trace_runs: MutableMapping[tuple[str, str], set[str]] = table()
        self._trace_calls: MutableMapping[tuple[str, str], list[tuple[str, str]]] = table()
        self._traces: MutableMapping[tuple[str, str], _Trace] = table(_Trace)
        self._span_responses: MutableMapping[tuple[str, str], set[str]] = table()
        """Response id a span tells of → trace ids."""
        self._given: MutableMapping[tuple[str, str], set[str]] = table()
        """Id of a tool call a proxied call gave → runs."""
        self._span_tools: MutableMapping[tuple[str, str], set[str]] = table()
        """Id of a tool call a span tells of → trace ids."""
        self._moved: set[tuple[str, str]] = set()

    def add_span(self, recorded: RecordedSpan) -> tuple[str | None, tuple[str, ...]]:
        """Learn a span: (the run it carries, runs of calls under it that have another)."""
        span, project = recorded.span, recorded.project
        self._parents[project, span.span_id] = span.parent_span_id
        self._learn_trace(recorded)
        run = _attribute_run(span)
        if run is None:
            return None, ()
        self._span_runs[project, span.span_id] = run
        self._trace_runs.setdefault((project, span.trace_id), set()).add(run)
        others: list[str] = []
        for called, traceparent in self._trace_calls.get((project, span.trace_id), []):
            old = self._settled(project, called)
            if old != run and old not in others and self.run_of(project, traceparent) == run:
                others.append(old)
        return run, tuple(others)

    def add_call(self, call: RecordedCall, run: str) -> None:
        """A proxied call tells its trace's run: the trace it names, and traces whose spans name what it gave."""
        project, traceparent = call.project, call.joins.traceparent
        named = trace_of(traceparent)
        if named is not None and traceparent is not None:
            self._trace_calls.setdefault((project, named[0]), []).append((run, traceparent))
        traces = set(self._span_responses.get((project, call.call.response_id or ""), ()))
        for own in given_tools(call.call):
            self._given.setdefault((project, own), set()).add(run)
            traces |= self._span_tools.get((project, own), set())
        for trace_id in {*traces, *([named[0]] if named is not None else [])}:
            self._traces.setdefault((project, trace_id), _Trace()).runs.add(run)
            self._moved.add((project, trace_id))

    def run_in_trace(self, project: str, trace_id: str, span_id: str | None) -> Joined | None:
        """The run of a place in a trace: of a span, or of a log record that names it; None where the trace tells of no
        agent."""
        run = self._under(project, span_id) or self._only(project, trace_id)
        if run is not None:
            return Joined(run=self._settled(project, run), grade="recorded", rule="span")
        trace = self._traces.get((project, trace_id))
        if trace is None:
            return None
        runs = {self._settled(project, run) for run in trace.runs}
        if len(runs) == 1:
            return Joined(run=runs.pop(), grade="recorded", rule="trace")
        if not trace.tells:
            return None
        if len(trace.sessions) == 1:
            return Joined(run=next(iter(trace.sessions)), grade="recorded", rule="session")
        return Joined(run=trace_id, grade="recorded", rule="trace")

    def run_of(self, project: str, traceparent: str) -> str | None:
        """The run that a span above this one carries, or the only one its trace carries."""
        trace = trace_of(traceparent)
        if trace is None:
            return None
        run = self._under(project, trace[1]) or self._only(project, trace[0])
        return None if run is None else self._settled(project, run)

    def take_moved(self) -> set[tuple[str, str]]:
        """(project, trace id) whose places may belong to another run than the last time they were asked for."""
        moved, self._moved = self._moved, set()
        return moved

    def _learn_trace(self, recorded: RecordedSpan) -> None:
        project, trace_id = recorded.project, recorded.span.trace_id
        trace = self._traces.setdefault((project, trace_id), _Trace())
        self._moved.add((project, trace_id))
        seen = recorded.alone or recorded.observation
        if seen is None:
            return
        trace.tells = trace.tells or seen.kind != "other"
        if seen.session:
            trace.sessions.add(seen.session)
        response = seen.call.response_id if seen.call is not None else None
        if response:
            self._span_responses.setdefault((project, response), set()).add(trace_id)
            if (run := self._responses.get((project, response))) is not None:
                trace.runs.add(run)
        for own in named_tools(seen):
            self._span_tools.setdefault((project, own), set()).add(trace_id)
            trace.runs |= self._given.get((project, own), set())

    def _under(self, project: str, span_id: str | None) -> str | None:
        seen: set[str] = set()
        while span_id is not None and span_id not in seen:
            if (run := self._span_runs.get((project, span_id))) is not None:
                return run
            seen.add(span_id)
            span_id = self._parents.get((project, span_id))
        return None

    def _only(self, project: str, trace_id: str) -> str | None:
        runs = self._trace_runs.get((project, trace_id), set())
        return next(iter(runs)) if len(runs) == 1 else None


def _attribute_run(span: TelemetrySpan) -> str | None:
    for place in (span.attributes, span.resource):
        value = place.get(RUN_ATTRIBUTE)
        if isinstance(value, str) and value:
            return value
    return None
