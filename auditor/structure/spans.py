"""Spans of one run → its model calls, tools and retrievals, each once. Pure.

One model call is often told of several times: by a framework's span and the client's span inside it, and by the proxy's
exchange. Two spans are one call when they lie in one trace, one under the other or at the same time, and give the same
response id, or the same output where one gives no id. A span and an exchange are one call when the response id is the
same, when the exchange's traceparent lies under the span, when they made the same tool call, or when the span gives no
response id and, of what is left in the run, as many spans as exchanges say the same. The exchange's bytes win; of spans
the one that says most.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from auditor.records.exchange import Joins, Times
from auditor.records.messages import Call, Message, ToolCall, part_text
from auditor.records.telemetry import Observation
from auditor.structure.inputs import RecordedCall, RecordedSpan
from auditor.structure.layout import arguments_form

_LONG_ID = 12
"""Shorter tool-call ids (`call_0`) repeat between calls and prove nothing."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What the spans of a run add to its exchanges."""

    calls: tuple[RecordedCall, ...]
    """The exchanges, named by their spans, and the calls only spans tell of."""
    uses: tuple[RecordedSpan, ...]
    gaps: tuple[str, ...]


def distinct(spans: Sequence[RecordedSpan]) -> tuple[list[RecordedSpan], int]:
    """Each (trace id, span id) once, and how many came again with another content: the later record wins."""
    kept: dict[tuple[str, str, str], RecordedSpan] = {}
    conflicts = 0
    for one in sorted(spans, key=lambda one: one.position):
        key = (one.project, one.span.trace_id, one.span.span_id)
        if key in kept and kept[key].span != one.span:
            conflicts += 1
        elif key in kept:
            continue
        kept[key] = one
    return sorted(kept.values(), key=lambda one: one.position), conflicts


def gather(spans: Sequence[RecordedSpan], calls: Sequence[RecordedCall]) -> Gathered:
    """Merge what spans and exchanges of one run tell of the same calls."""
    own, conflicts = distinct(spans)
    tree = Tree(own)
    groups = _groups([one for one in own if _call(one) is not None], tree)
    named = dict(_matches(groups, calls, tree))
    told: dict[str, list[RecordedSpan]] = {}
    born: list[RecordedCall] = []
    for index, group in enumerate(groups):
        if index in named:
            for call in named[index]:
                told.setdefault(call, []).extend(group)
        else:
            born.append(_born(group, tree))
    seen = [_named(one, told[one.id], tree) if one.id in told else one for one in calls]
    gaps = (f"{conflicts} spans came again with another content; the later ones are shown",) if conflicts else ()
    return Gathered(calls=(*seen, *born), uses=tuple(_uses(own, tree)), gaps=gaps)


class Tree:
    """Which span lies under which, and when."""

    def __init__(self, spans: Iterable[RecordedSpan]) -> None:
        self.spans = {(one.span.trace_id, one.span.span_id): one for one in spans}

    def above(self, trace: str, span: str | None) -> Iterable[RecordedSpan]:
        """The span with this id and those it lies under, nearest first."""
        seen: set[str] = set()
        while span is not None and span not in seen and (one := self.spans.get((trace, span))) is not None:
            seen.add(span)
            yield one
            span = one.span.parent_span_id

    def together(self, left: RecordedSpan, right: RecordedSpan) -> bool:
        """Whether one lies under the other, or both ran at the same time in one trace."""
        a, b = left.span, right.span
        if a.trace_id != b.trace_id:
            return False
        if any(one is right for one in self.above(a.trace_id, a.span_id)):
            return True
        if any(one is left for one in self.above(b.trace_id, b.span_id)):
            return True
        if a.parent_span_id == b.parent_span_id and a.scope == b.scope:
            return False  # siblings of one emitter are two calls, however alike
        if not (a.started and a.ended and b.started and b.ended):
            return False
        return a.started < b.ended and b.started < a.ended

    def agent(self, one: RecordedSpan) -> str | None:
        """Name of the nearest agent a span lies under."""
        for above in self.above(one.span.trace_id, one.span.span_id):
            if above.observation is not None and above.observation.agent:
                return above.observation.agent
        return None


def _call(one: RecordedSpan) -> Call | None:
    return one.observation.call if one.observation is not None and one.observation.kind == "model_call" else None


def _groups(spans: Sequence[RecordedSpan], tree: Tree) -> list[list[RecordedSpan]]:
    """Spans of one call together; only those that share a trace and a response id or output are compared."""
    leader = list(range(len(spans)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    buckets: dict[tuple[str, str], list[int]] = {}
    for index, one in enumerate(spans):
        call = _call(one)
        assert call is not None, "only model calls are grouped"
        for key in {f"id {call.response_id}" if call.response_id else "", _output(call)} - {""}:
            buckets.setdefault((one.span.trace_id, key), []).append(index)
    for members in buckets.values():
        for place, left in enumerate(members):
            for right in members[place + 1 :]:
                apart = find(left) != find(right) and _agree(spans[left], spans[right])
                if apart and tree.together(spans[left], spans[right]):
                    leader[find(right)] = find(left)
    groups: dict[int, list[RecordedSpan]] = {}
    for index, one in enumerate(spans):
        groups.setdefault(find(index), []).append(one)
    return list(groups.values())


def _agree(left: RecordedSpan, right: RecordedSpan) -> bool:
    """Two different response ids are two calls."""
    a, b = _call(left), _call(right)
    return a is None or b is None or not a.response_id or not b.response_id or a.response_id == b.response_id


def _output(call: Call) -> str:
    """What a call gave, in words that every emitter repeats; empty when the span does not say."""
    return "\n".join(_words(message) for message in call.outputs).strip()


def _words(message: Message) -> str:
    said = [
        f"{part.name}({arguments_form(part.arguments)})" if isinstance(part, ToolCall) else part_text(part).strip()
        for part in message.parts if part.type in ("text", "tool_call")
    ]  # fmt: skip
    return "\n".join(one for one in said if one)


def _matches(
    groups: Sequence[Sequence[RecordedSpan]], calls: Sequence[RecordedCall], tree: Tree
) -> Iterable[tuple[int, list[str]]]:
    """(index of a group of spans, ids of the exchanges that are the same call)."""
    by_span = {one.id: index for index, group in enumerate(groups) for one in group}
    by_response: dict[str, set[int]] = {}
    by_tool: dict[str, dict[str, set[int]]] = {}
    """Tool-call id → trace → groups."""
    for index, group in enumerate(groups):
        for one in group:
            call = _call(one)
            if call is not None and call.response_id:
                by_response.setdefault(call.response_id, set()).add(index)
            for own in given_tools(call):
                by_tool.setdefault(own, {}).setdefault(one.span.trace_id, set()).add(index)
    found: dict[int, list[str]] = {}
    for recorded in calls:
        same = set(by_response.get(recorded.call.response_id or "", ()))
        if (place := trace_of(recorded.joins.traceparent)) is not None and not same:
            above = (by_span.get(one.id) for one in tree.above(*place))
            same |= {number for number in above if number is not None and _may_be(groups[number], recorded.call)}
        for owners in (traces for own in given_tools(recorded.call) for traces in by_tool.get(own, {}).values()):
            if len(owners) == 1 and _may_be(groups[min(owners)], recorded.call):
                same |= owners
        for number in same:
            found.setdefault(number, []).append(recorded.id)
    found.update(_alike(groups, calls, found))
    return found.items()


def _alike(
    groups: Sequence[Sequence[RecordedSpan]], calls: Sequence[RecordedCall], found: Mapping[int, Sequence[str]]
) -> Iterable[tuple[int, list[str]]]:
    """Groups that nothing else matched and exchanges that gave the same words, pairwise in order of time.

    Only where a trace has as many of them as there are exchanges: one more on either side, and it is unknown which.
    """
    taken = {(groups[index][0].span.trace_id, one) for index, ids in found.items() for one in ids}
    spans: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for index, group in enumerate(groups):
        own = [call for one in group if (call := _call(one)) is not None]
        said = {_output(call) for call in own} - {""}
        if index not in found and len(said) == 1 and not any(call.response_id for call in own):
            key = (group[0].span.trace_id, said.pop())
            spans.setdefault(key, []).append((min(one.span.started or "" for one in group), index))
    exchanges: dict[str, list[RecordedCall]] = {}
    for recorded in calls:
        exchanges.setdefault(_output(recorded.call), []).append(recorded)
    for (trace, words), told in spans.items():
        left = [(one.times.started, one.id) for one in exchanges.get(words, ()) if (trace, one.id) not in taken]
        if len(told) == len(left):
            yield from ((index, [one]) for (_, index), (_, one) in zip(sorted(told), sorted(left), strict=True))


def _may_be(group: Sequence[RecordedSpan], call: Call) -> bool:
    """A span around several calls is none of them where their response ids say so."""
    ids = {own.response_id for one in group if (own := _call(one)) is not None and own.response_id}
    return not ids or not call.response_id or call.response_id in ids


def given_tools(call: Call | None) -> list[str]:
    """Ids of the tool calls a model call gave; only those long enough to be no other's."""
    return _tool_ids(() if call is None else call.outputs)


def named_tools(seen: Observation) -> list[str]:
    """Ids of all tool calls a span tells of: what its model call read and gave, the tool it is of."""
    own = [seen.tool.call_id] if seen.tool is not None and seen.tool.call_id else []
    said = () if seen.call is None else (*seen.call.messages, *seen.call.outputs)
    return [*(one for one in own if len(one) >= _LONG_ID), *_tool_ids(said)]


def _tool_ids(messages: Sequence[Message]) -> list[str]:
    return [
        part.call_id for message in messages for part in message.parts
        if isinstance(part, ToolCall) and part.call_id and len(part.call_id) >= _LONG_ID
    ]  # fmt: skip


def _richness(one: RecordedSpan) -> tuple[int, int, int, str]:
    """How much a span says of its call; equal ones are told apart by their ids, so that order does not matter."""
    call = _call(one)
    if call is None:
        return (0, 0, 0, "")
    parts = sum(len(message.parts) for message in (*call.messages, *call.outputs))
    facts = sum(bool(fact) for fact in (call.tokens, call.finish, call.response_id, call.settings, call.tools))
    return parts, facts, len(one.span.attributes), one.span.span_id


def _born(group: Sequence[RecordedSpan], tree: Tree) -> RecordedCall:
    """A call only spans tell of; what the best one leaves out is taken from the others."""
    ranked = sorted(group, key=_richness, reverse=True)
    best, calls = ranked[0], [call for one in ranked if (call := _call(one)) is not None]
    counted = [one for one in calls if one.tokens]
    told = next((one for one in counted if one.cost), counted[0] if counted else calls[0])  # both of one span
    call = replace(
        calls[0], record=best.id,
        response_id=next((one.response_id for one in calls if one.response_id), None),
        tokens=told.tokens, cost=told.cost,
        tools=next((one.tools for one in calls if one.tools), ()),
        finish=next((one.finish for one in calls if one.finish), ()),
        model=next((one.model for one in calls if one.model != "unknown"), "unknown"),
    )  # fmt: skip
    span, failed = best.span, best.span.status == "error"
    session = next((one.observation.session for one in ranked if one.observation and one.observation.session), None)
    return RecordedCall(
        position=best.position, id=best.id, project=best.project, call=call,
        joins=Joins(traceparent=f"00-{span.trace_id}-{span.span_id}-01", session=session),
        times=Times(started=span.started or "", upstream_headers=None, first_byte=None, last_byte=span.ended),
        outcome="upstream_failed" if failed else "complete", status=500 if failed else 200, dialect=None,
        asked=call.model, model_digest="unknown", origin="otlp", agent=tree.agent(best),
        spans=tuple(sorted(one.id for one in group)),
    )  # fmt: skip


def _named(recorded: RecordedCall, spans: Sequence[RecordedSpan], tree: Tree) -> RecordedCall:
    """A proxied call with what its spans say beside the bytes."""
    agent = next((name for one in sorted(spans, key=_richness, reverse=True) if (name := tree.agent(one))), None)
    return replace(recorded, agent=agent, spans=tuple(sorted({one.id for one in spans})))


def _uses(spans: Sequence[RecordedSpan], tree: Tree) -> list[RecordedSpan]:
    """Tools and retrievals, each once: two emitters may tell of one."""
    kept: list[RecordedSpan] = []
    buckets: dict[tuple[str, str], list[RecordedSpan]] = {}
    for one in sorted(spans, key=lambda one: (_use_richness(one), one.span.span_id), reverse=True):
        seen = one.observation
        if seen is None or seen.kind not in ("tool_call", "retrieval"):
            continue
        for key in _use_keys(one):
            if any(tree.together(one, other) for other in buckets.get(key, ())):
                break
        else:
            kept.append(one)
            for key in _use_keys(one):
                buckets.setdefault(key, []).append(one)
    return kept


def _use_keys(one: RecordedSpan) -> Iterable[tuple[str, str]]:
    seen = one.observation
    if seen is not None and seen.tool is not None:
        if seen.tool.call_id:
            yield "id", seen.tool.call_id
        else:
            yield "tool", f"{seen.tool.name}\0{seen.tool.result or ''}"
    elif seen is not None:
        yield "query", f"{seen.query}\0{len(seen.documents)}"


def _use_richness(one: RecordedSpan) -> int:
    seen = one.observation
    if seen is None or seen.tool is None:
        return len(seen.documents) if seen is not None else 0
    return sum(fact is not None for fact in (seen.tool.call_id, seen.tool.arguments, seen.tool.result))


def trace_of(traceparent: str | None) -> tuple[str, str] | None:
    """Trace id and span id of a W3C traceparent, or None when it is malformed."""
    pieces = (traceparent or "").lower().split("-")
    if len(pieces) < 4 or len(pieces[1]) != 32 or len(pieces[2]) != 16:
        return None
    return pieces[1], pieces[2]
