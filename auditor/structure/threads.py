"""Which run a call belongs to. The only place that decides; capture stores join keys and nothing more.

Rules, first that applies:

====================  ========  ==========================================================================
rule                  grade     meaning
====================  ========  ==========================================================================
header                recorded  the client sent `x-audit-run`
span                  recorded  the call's traceparent lies under a span that carries `auditor.run`
response_id           recorded  the call fetches, cancels or continues to stream an answer of one run's call
retry                 recorded  same body and credential as a failed attempt, higher retry count, within
                                120 s (inferred where several runs have such an attempt)
previous_response_id  recorded  the request names one run's answer as what it continues
conversation          recorded  the request names a server-side conversation that a run's call named
echoed_output         recorded  the request contains the very message (id covers all before it) one run's
                                call gave, with or without its thinking
echoed_output         inferred  the same where several runs gave it; the one not yet continued is taken
tool_call_id          recorded  the request contains a tool call (id, name, arguments) exactly one run made
continuity_token      recorded  the request contains encrypted content or a signature exactly one run gave
shared_prefix         inferred  the request continues exactly one run's input with an altered answer
first_exchange        recorded  none of these: a new run, named after its first exchange
====================  ========  ==========================================================================

Calls that only spans tell of, and spans, belong to the run of their trace:

====================  ========  ==========================================================================
span                  recorded  the span, or one it lies under, or its whole trace, carries `auditor.run`
trace                 recorded  the calls the proxy saw of the trace (by traceparent, response id, or a tool call's
                                id that a call gave and a span names) are all in one run
session               recorded  the spans of the trace name one conversation or session, which is the run
trace                 recorded  none of these: the trace is the run, named by its id
====================  ========  ==========================================================================

These look at the whole trace, never at the order of arrival: late and out-of-order spans end in the same run.

A call that names an answer nobody recorded yet begins a run; it is merged when that answer's call arrives late.
Identical prompts alone never join two calls, and neither does a shared system prompt. Projects never mix.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.records.canonical import sha256_hex
from auditor.records.messages import (
    COUNT_ONLY,
    Call,
    Message,
    Other,
    PlacedMessage,
    Reasoning,
    ToolCall,
    message_id,
    place,
)
from auditor.records.telemetry import RUN_ATTRIBUTE, TelemetrySpan
from auditor.structure.chains import resolve
from auditor.structure.inputs import (
    COUNTERFACTUAL,
    Grade,
    Joined,
    RecordedCall,
    RecordedSpan,
    RecordedTranscript,
    Thread,
)
from auditor.structure.layout import arguments_form
from auditor.structure.retries import Retries, Table, in_memory
from auditor.structure.spans import gather, given_tools, named_tools, trace_of

_SHORT_ID = 12
"""Tool-call ids shorter than this (`call_0`) repeat between runs; they join only under the same first user message."""
_MOST_ENDS = 256
"""Of runs that gave the very same message after the same ones, the newest that a later call may continue."""
_SHORT_TOKEN = 32
"""Shorter signatures are no proof of anything."""


def group(
    calls: Sequence[RecordedCall], spans: Sequence[RecordedSpan] = (), transcripts: Sequence[RecordedTranscript] = ()
) -> list[Thread]:
    """Threads in the order of their first record. Counterfactual calls are left out."""
    index = ThreadIndex()
    for span in sorted(spans, key=_position):
        index.add_span(span)
    joined: dict[str, tuple[RecordedCall, Joined]] = {}
    for call in sorted(calls, key=_position):
        if call.joins.purpose != COUNTERFACTUAL:
            joined[call.id] = (call, index.add_call(call))
    parts: dict[tuple[str, str], list[tuple[RecordedCall, Joined]]] = {}
    for call, join in joined.values():
        parts.setdefault((call.project, index.settled(call.project, join.run)), []).append((call, join))
    own: dict[tuple[str, str], list[RecordedSpan]] = {}
    for span in sorted(spans, key=_position):
        run = index.span_run(span)
        if run is not None:
            own.setdefault((span.project, run), []).append(span)
    told = {key: spans for key, spans in own.items() if key in parts or any(map(_tells, spans))}
    threads = [
        _thread(run, project, parts.get((project, run), []), own.get((project, run), []), index)
        for project, run in dict.fromkeys([*parts, *told])
    ]
    threads = [thread for thread in threads if thread.calls or thread.uses]
    threads += [
        Thread(run=one.transcript.run, project=one.project, grade="recorded", rule="transcript", transcript=one)
        for one in transcripts
    ]
    return sorted(threads, key=_first_position)


class ThreadIndex:
    """Threads calls one by one as they arrive, without rereading earlier ones.

    Holds keys only (message ids, tool-call ids, trace ids), never texts, each under (project, key). A server fills it
    from the ledger at start by adding the recorded calls and spans in order; adding the same records in the same order
    gives the same runs. `table` makes the mappings that grow with what is recorded.
    """

    def __init__(self, table: Table = in_memory) -> None:
        self._outputs: MutableMapping[tuple[str, str], list[str]] = table()
        """Message id → numbers of the ends that are it."""
        self._ends: MutableMapping[tuple[str, str], _End] = table(_End)
        self._end_count = 0
        self._inputs: MutableMapping[tuple[str, str], list[str]] = table()
        self._tools: MutableMapping[tuple[str, str], dict[str, str | None]] = table()
        self._span_runs: MutableMapping[tuple[str, str], str] = table()
        self._parents: MutableMapping[tuple[str, str], str | None] = table()
        self._trace_runs: MutableMapping[tuple[str, str], set[str]] = table()
        self._trace_calls: MutableMapping[tuple[str, str], list[tuple[str, str]]] = table()
        self._aliases: MutableMapping[tuple[str, str], str] = table()
        self._former: MutableMapping[tuple[str, str], set[str]] = table()
        """Run → runs that were merged into it."""
        self._responses: MutableMapping[tuple[str, str], str] = table()
        self._conversations: MutableMapping[tuple[str, str], str] = table()
        self._tokens: MutableMapping[tuple[str, str], set[str]] = table()
        self._waiting: MutableMapping[tuple[str, str], list[str]] = table()
        """Response id nobody gave yet → runs that began with a call naming it."""
        self._merged: list[tuple[str, str]] = []
        self._retries = Retries(table)
        self._traces: MutableMapping[tuple[str, str], _Trace] = table(_Trace)
        self._span_responses: MutableMapping[tuple[str, str], set[str]] = table()
        """Response id a span tells of → trace ids."""
        self._given: MutableMapping[tuple[str, str], set[str]] = table()
        """Id of a tool call a proxied call gave → runs."""
        self._span_tools: MutableMapping[tuple[str, str], set[str]] = table()
        """Id of a tool call a span tells of → trace ids."""
        self._moved: set[tuple[str, str]] = set()

    def add_call(self, call: RecordedCall) -> Joined:
        """The run of this call, which later calls can now join."""
        placed = _placed(call.call)
        join = self._decide(call, placed)
        if call.call.about != COUNT_ONLY:
            self._learn(call, placed, join.run)
        return join

    def take_merged(self) -> tuple[tuple[str, str], ...]:
        """(project, run) that calls added since the last time showed to be part of another run (see settled)."""
        merged, self._merged = tuple(self._merged), []
        return merged

    def add_span(self, recorded: RecordedSpan) -> tuple[str, ...]:
        """Learn a span; gives the ids of runs that turn out to be part of the span's run (append an alias for them)."""
        span, project = recorded.span, recorded.project
        self._parents[project, span.span_id] = span.parent_span_id
        self._learn_trace(recorded)
        run = _attribute_run(span)
        if run is None:
            return ()
        self._span_runs[project, span.span_id] = run
        self._trace_runs.setdefault((project, span.trace_id), set()).add(run)
        merged: list[str] = []
        for called, traceparent in self._trace_calls.get((project, span.trace_id), []):
            old = self.settled(project, called)
            if old != run and self._traced(project, traceparent) == run:
                self._alias(project, old, run)
                merged.append(old)
        return tuple(merged)

    def span_run(self, recorded: RecordedSpan) -> str | None:
        """The run a span belongs to, or None where its trace tells of no agent (see the table)."""
        joined = self.run_in_trace(recorded.project, recorded.span.trace_id, recorded.span.span_id)
        return None if joined is None else joined.run

    def run_in_trace(self, project: str, trace_id: str, span_id: str | None) -> Joined | None:
        """The run of a place in a trace: of a span, or of a log record that names it."""
        run = self._under(project, span_id) or self._only(project, trace_id)
        if run is not None:
            return Joined(run=self.settled(project, run), grade="recorded", rule="span")
        trace = self._traces.get((project, trace_id))
        if trace is None:
            return None
        runs = {self.settled(project, run) for run in trace.runs}
        if len(runs) == 1:
            return Joined(run=runs.pop(), grade="recorded", rule="trace")
        if not trace.tells:
            return None
        if len(trace.sessions) == 1:
            return Joined(run=next(iter(trace.sessions)), grade="recorded", rule="session")
        return Joined(run=trace_id, grade="recorded", rule="trace")

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

    def _learn_traced(self, call: RecordedCall, run: str) -> None:
        """A proxied call tells its trace's run: the trace it names, and traces whose spans name what it gave."""
        place_ = trace_of(call.joins.traceparent)
        traces = set(self._span_responses.get((call.project, call.call.response_id or ""), ()))
        for own in given_tools(call.call):
            self._given.setdefault((call.project, own), set()).add(run)
            traces |= self._span_tools.get((call.project, own), set())
        for trace_id in {*traces, *([place_[0]] if place_ is not None else [])}:
            self._traces.setdefault((call.project, trace_id), _Trace()).runs.add(run)
            self._moved.add((call.project, trace_id))

    def settled(self, project: str, run: str) -> str:
        """The run id after merges."""
        seen = {run}
        while (following := self._aliases.get((project, run))) is not None and following not in seen:
            seen.add(following)
            run = following
        return run

    def aliases(self, project: str, run: str) -> tuple[str, ...]:
        """Run ids that were merged into this one, sorted."""
        return tuple(sorted(self._former.get((project, run), ())))

    def _alias(self, project: str, old: str, new: str) -> None:
        self._aliases[project, old] = new
        self._former.setdefault((project, new), set()).update({old, *self._former.get((project, old), ())} - {new})

    def _decide(self, call: RecordedCall, placed: Sequence[PlacedMessage]) -> Joined:
        join = self._run(call, placed)
        attempt = self._retries.of(call)
        if attempt is not None and self.settled(call.project, attempt.run) == self.settled(call.project, join.run):
            return replace(join, retry_of=attempt.record)
        return join

    def _run(self, call: RecordedCall, placed: Sequence[PlacedMessage]) -> Joined:
        project, joins = call.project, call.joins
        if joins.run:
            return Joined(run=joins.run, grade="recorded", rule="header")
        if joins.traceparent and (run := self._traced(project, joins.traceparent)):
            return Joined(run=run, grade="recorded", rule="span")
        if (named := self._named(call)) is not None:
            return named
        for one in reversed(placed):
            ends = self._outputs.get((project, one.id))
            if ends:
                return self._echoed(project, [self._ends["", number] for number in ends])
        owners = self._tool_owners(project, placed)
        if len(owners) == 1:
            return Joined(run=owners.pop(), grade="recorded", rule="tool_call_id")
        givers = {
            self.settled(project, run) for token in _tokens(placed) for run in self._tokens.get((project, token), ())
        }
        if len(givers) == 1:
            return Joined(run=givers.pop(), grade="recorded", rule="continuity_token")
        if not owners:
            for before, one in zip(reversed(placed[:-1]), reversed(placed[1:]), strict=True):
                runs = {self.settled(project, run) for run in self._inputs.get((project, before.id), ())}
                if one.message.role == "assistant" and len(runs) == 1:
                    return Joined(run=runs.pop(), grade="inferred", rule="shared_prefix")
        return Joined(run=call.id, grade="recorded", rule="first_exchange")

    def _named(self, call: RecordedCall) -> Joined | None:
        """The run of the answer, attempt or conversation that a call names, where it is known."""
        project, said = call.project, call.call
        if said.about and (run := self._responses.get((project, said.about))) is not None:
            return Joined(run=self.settled(project, run), grade="recorded", rule="response_id")
        if (attempt := self._retries.of(call)) is not None:
            grade: Grade = "recorded" if attempt.sure else "inferred"
            return Joined(run=self.settled(project, attempt.run), grade=grade, rule="retry")
        if said.previous and (run := self._responses.get((project, said.previous))) is not None:
            return Joined(run=self.settled(project, run), grade="recorded", rule="previous_response_id")
        if said.conversation and (run := self._conversations.get((project, said.conversation))) is not None:
            return Joined(run=self.settled(project, run), grade="recorded", rule="conversation")
        return None

    def _echoed(self, project: str, ends: "list[_End]") -> Joined:
        runs = {self.settled(project, end.run) for end in ends}
        chosen = min(ends, key=lambda end: end.continued)  # of equals the first
        grade = "recorded" if len(runs) == 1 else "inferred"
        return Joined(run=self.settled(project, chosen.run), grade=grade, rule="echoed_output")  # type: ignore[arg-type]

    def _tool_owners(self, project: str, placed: Sequence[PlacedMessage]) -> set[str]:
        opening = _opening(placed)
        owners: set[str] = set()
        for one in placed:
            for part in one.message.parts:
                if isinstance(part, ToolCall) and part.call_id:
                    for run, first in self._tools.get((project, _tool_key(part)), {}).items():
                        if len(part.call_id) >= _SHORT_ID or first == opening:
                            owners.add(self.settled(project, run))
        return owners

    def _learn(self, call: RecordedCall, placed: Sequence[PlacedMessage], run: str) -> None:
        project, said = call.project, call.call
        self._learn_names(call, run)
        self._learn_traced(call, run)
        last = placed[-1].id if placed else _root(said)
        for one in placed:
            for number in self._outputs.get((project, one.id), ()):
                end = self._ends["", number]
                if self.settled(project, end.run) == self.settled(project, run):
                    end.continued += 1
        if placed:
            self._inputs.setdefault((project, placed[-1].id), []).append(run)
        for output in said.outputs:
            self._end_count += 1
            number = str(self._end_count)
            self._ends["", number] = _End(run)
            for own in dict.fromkeys((message_id(output, last), message_id(_without_thinking(output), last))):
                ends = self._outputs.setdefault((project, own), [])
                ends.append(number)
                del ends[:-_MOST_ENDS]
            for token in _tokens(place((output,), last)):
                self._tokens.setdefault((project, token), set()).add(run)
            for part in output.parts:
                if isinstance(part, ToolCall) and part.call_id:
                    self._tools.setdefault((project, _tool_key(part)), {})[run] = _opening(placed)
        traceparent = call.joins.traceparent
        trace = trace_of(traceparent)
        if trace is not None and traceparent is not None:
            self._trace_calls.setdefault((project, trace[0]), []).append((run, traceparent))

    def _learn_names(self, call: RecordedCall, run: str) -> None:
        """Ids later calls may name; a run that began with a call naming this answer turns out to be part of this."""
        project, said = call.project, call.call
        self._retries.learn(call, run)
        if said.about is None and said.response_id:
            self._responses[project, said.response_id] = run
            for waiting in self._waiting.pop((project, said.response_id), ()):
                old, own = self.settled(project, waiting), self.settled(project, run)
                if old != own:
                    self._alias(project, old, own)
                    self._merged.append((project, old))
        if said.conversation:
            self._conversations.setdefault((project, said.conversation), run)
        named = said.about or said.previous
        if named and run == call.id and (project, named) not in self._responses:
            self._waiting.setdefault((project, named), []).append(run)

    def _traced(self, project: str, traceparent: str) -> str | None:
        trace = trace_of(traceparent)
        if trace is None:
            return None
        run = self._under(project, trace[1]) or self._only(project, trace[0])
        return None if run is None else self.settled(project, run)

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


@dataclass
class _Trace:
    """What is known of one trace, whatever the order it came in."""

    tells: bool = False
    """Whether a span of it tells of an agent, a model, a tool or a retrieval."""
    sessions: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    """Runs of the proxied calls that belong to it."""


@dataclass
class _End:
    """A message some run's call gave, and how often a later request contained it."""

    run: str
    continued: int = field(default=0)


def _thread(
    run: str, project: str, members: list[tuple[RecordedCall, Joined]], spans: list[RecordedSpan], index: ThreadIndex
) -> Thread:
    joins = {call.id: join for call, join in members}
    gathered = gather(spans, [call for call, _ in members])
    for call in gathered.calls:
        if call.id not in joins:
            place_ = trace_of(call.joins.traceparent)
            join = None if place_ is None else index.run_in_trace(project, *place_)
            joins[call.id] = join or Joined(run=run, grade="recorded", rule="trace")
    members = [(call, joins[call.id]) for call in gathered.calls]
    members = sorted(members, key=lambda pair: (pair[0].times.started, *_order(pair[0])))
    resolved = resolve([call for call, _ in members])
    whole = {call.id: call for call in resolved.calls}
    members = [(whole[call.id], join) for call, join in members if call.id in whole]
    rules = list(dict.fromkeys(join.rule for _, join in members)) or ["trace"]
    inferred = any(join.grade == "inferred" for _, join in members)
    return Thread(
        run=run, project=project, grade="inferred" if inferred else "recorded", rule="+".join(rules),
        calls=tuple(call for call, _ in members), joins=tuple(join for _, join in members), spans=tuple(spans),
        aliases=index.aliases(project, run), fetched=resolved.fetched, uses=gathered.uses,
        gaps=(*resolved.gaps, *gathered.gaps),
    )  # fmt: skip


def _tells(recorded: RecordedSpan) -> bool:
    """Whether a span alone is reason enough for a run: it tells of a model call, a tool or a retrieval."""
    seen = recorded.observation
    return seen is not None and seen.kind in ("model_call", "tool_call", "retrieval")


def _order(call: RecordedCall) -> tuple[str, int]:
    """Among calls begun at the same moment: exchanges as they were recorded, then spans by their id."""
    return ("", call.position) if call.origin == "proxy" else (call.joins.traceparent or "", 0)


def _position(one: RecordedCall | RecordedSpan) -> int:
    return one.position


def _first_position(thread: Thread) -> tuple[int, str]:
    if thread.transcript is not None:
        return thread.transcript.position, thread.run
    positions = [call.position for call in thread.calls] + [span.position for span in thread.spans]
    return min(positions), thread.run


def _attribute_run(span: TelemetrySpan) -> str | None:
    for place_ in (span.attributes, span.resource):
        value = place_.get(RUN_ATTRIBUTE)
        if isinstance(value, str) and value:
            return value
    return None


def _tool_key(part: ToolCall) -> str:
    return "\0".join((part.call_id or "", part.name, arguments_form(part.arguments)))


def _root(call: Call) -> str | None:
    """What stands before the first message of a call: the context it names, whose messages it does not send."""
    named = call.previous or call.conversation
    return None if named is None else f"after {named}"


def _placed(call: Call) -> tuple[PlacedMessage, ...]:
    return place(call.messages, _root(call))


def _without_thinking(message: Message) -> Message:
    """The message as clients send it back that drop the thinking; itself where it is nothing else."""
    rest = tuple(part for part in message.parts if not isinstance(part, Reasoning))
    return replace(message, parts=rest) if rest else message


def _tokens(placed: Sequence[PlacedMessage]) -> list[str]:
    """Hashes of the opaque tokens in messages: signatures of thinking, encrypted thinking, compacted contexts."""
    found: list[str] = []
    for one in placed:
        for part in one.message.parts:
            token: object = None
            if isinstance(part, Reasoning):
                token = part.signature
            elif isinstance(part, Other) and part.kind == "compaction" and isinstance(part.data, dict):
                token = part.data.get("encrypted_content")
            if isinstance(token, str) and len(token) >= _SHORT_TOKEN:
                found.append(sha256_hex(token.encode("utf-8", "replace")))
    return found


def _opening(placed: Sequence[PlacedMessage]) -> str | None:
    """Id of the first user message."""
    return next((one.id for one in placed if _is_user(one.message)), None)


def _is_user(message: Message) -> bool:
    return message.role == "user"
