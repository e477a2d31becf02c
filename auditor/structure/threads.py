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
echoed_words          inferred  the request contains what one run's call said, behind another beginning: a
                                hand-off to another agent, or a history that was cut short
tool_argument         inferred  the request's first user message is, whole, an argument of a tool call that one
                                run made: a sub-agent
quoted_output         inferred  a message of the request contains a line (60 characters or more) that one run's
                                call wrote: a history that was compacted
same_prompt           inferred  the same prompt, model and credential as a call begun at most 120 s before, with
                                a temperature above 0 and no tools: sampled chains
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
Identical prompts that were not asked to vary never join two calls, and neither does a shared system prompt. Projects
never mix.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import replace

from auditor.records.messages import COUNT_ONLY, Call, Message, PlacedMessage, place
from auditor.structure.chains import resolve
from auditor.structure.echoes import Echoes
from auditor.structure.inputs import (
    COUNTERFACTUAL,
    Grade,
    Joined,
    RecordedCall,
    RecordedSpan,
    RecordedTranscript,
    Thread,
)
from auditor.structure.prefixes import Placing, Prefixes
from auditor.structure.retries import Retries, Table, in_memory
from auditor.structure.spans import gather, trace_of
from auditor.structure.traces import Traces


def group(
    calls: Sequence[RecordedCall], spans: Sequence[RecordedSpan] = (), transcripts: Sequence[RecordedTranscript] = ()
) -> list[Thread]:
    """Threads in the order of their first record. Counterfactual calls are left out."""
    conversations: dict[str | None, Prefixes] = {}

    def placing(messages: Sequence[Message], root: str | None) -> Sequence[PlacedMessage]:
        return conversations.setdefault(root, Prefixes(root)).all(messages)

    index = ThreadIndex(placing=placing)
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
    gives the same runs. `table` makes the mappings that grow with what is recorded; `placing` gives a conversation's
    messages their ids after a root.
    """

    def __init__(self, table: Table = in_memory, placing: Placing = place) -> None:
        self._placing = placing
        self._echoes = Echoes(table, self.settled)
        self._retries = Retries(table)
        self._aliases: MutableMapping[tuple[str, str], str] = table()
        self._former: MutableMapping[tuple[str, str], set[str]] = table()
        """Run → runs that were merged into it."""
        self._responses: MutableMapping[tuple[str, str], str] = table()
        self._traces = Traces(table, self.settled, self._responses)
        self._conversations: MutableMapping[tuple[str, str], str] = table()
        self._waiting: MutableMapping[tuple[str, str], list[str]] = table()
        """Response id nobody gave yet → runs that began with a call naming it."""
        self._merged: list[tuple[str, str]] = []

    def add_call(self, call: RecordedCall) -> Joined:
        """The run of this call, which later calls can now join."""
        root = _root(call.call)
        placed = self._placing(call.call.messages, root)
        join = self._decide(call, placed)
        if call.call.about != COUNT_ONLY:
            self._learn_names(call, join.run)
            self._traces.add_call(call, join.run)
            self._echoes.learn(call, placed, root, join.run)
        return join

    def take_merged(self) -> tuple[tuple[str, str], ...]:
        """(project, run) that calls added since the last time showed to be part of another run (see settled)."""
        merged, self._merged = tuple(self._merged), []
        return merged

    def add_span(self, recorded: RecordedSpan) -> tuple[str, ...]:
        """Learn a span; gives the ids of runs that turn out to be part of the span's run (append an alias for them)."""
        run, others = self._traces.add_span(recorded)
        if run is not None:
            for old in others:
                self._alias(recorded.project, old, run)
        return others

    def span_run(self, recorded: RecordedSpan) -> str | None:
        """The run a span belongs to, or None where its trace tells of no agent (see the table)."""
        joined = self.run_in_trace(recorded.project, recorded.span.trace_id, recorded.span.span_id)
        return None if joined is None else joined.run

    def run_in_trace(self, project: str, trace_id: str, span_id: str | None) -> Joined | None:
        """The run of a place in a trace: of a span, or of a log record that names it."""
        return self._traces.run_in_trace(project, trace_id, span_id)

    def take_moved(self) -> set[tuple[str, str]]:
        """(project, trace id) whose places may belong to another run than the last time they were asked for."""
        return self._traces.take_moved()

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
        if joins.traceparent and (run := self._traces.run_of(project, joins.traceparent)):
            return Joined(run=run, grade="recorded", rule="span")
        found = self._named(call) or self._echoes.find(call, placed)
        return found or Joined(run=call.id, grade="recorded", rule="first_exchange")

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


def _root(call: Call) -> str | None:
    """What stands before the first message of a call: the context it names, whose messages it does not send."""
    named = call.previous or call.conversation
    return None if named is None else f"after {named}"
