"""Server-side state made visible: every call of a run with the whole context its model saw.

OpenAI's Responses let a client send only what is new. What came before is named by `previous_response_id` (the answer
whose whole context, and output, comes first) or by `conversation` (everything that conversation holds), single items by
`item_reference`. An answer may be finished in the background and fetched later. `resolve` puts all of it together from
what was recorded; what was recorded elsewhere is said, never guessed.

Instructions are not inherited through `previous_response_id` (OpenAI's rule): each call has its own, or none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from auditor.records.messages import COUNT_ONLY, Call, Message, Other, Part, Text
from auditor.structure.inputs import RecordedCall

_DONE = {"failed": 1, "cancelled": 1, "queued": 0, "in_progress": 0, "unknown": 0}
"""How far a finish says an answer has come; every other one (completed, a reason it is incomplete) is 2."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """Model calls with their whole context, in the order given; `fetched` are those that were no model calls."""

    calls: tuple[RecordedCall, ...]
    fetched: tuple[RecordedCall, ...] = ()
    gaps: tuple[str, ...] = ()
    """Sentences: what context was recorded elsewhere."""


def resolve(calls: Sequence[RecordedCall]) -> Resolved:
    """Full contexts. Projects never mix; cycles and unknown ids are tolerated and leave a call as it is."""
    own, fetched = _answered(calls)
    gaps = [f"the request that {one.call.about} answers was recorded elsewhere" for one in own if one.call.about]
    if not any(_chained(one.call) for one in own):
        return Resolved(calls=tuple(own), fetched=tuple(fetched), gaps=tuple(gaps))
    contexts = _Contexts(own)
    done = [contexts.resolved(one) for one in own]
    return Resolved(calls=tuple(done), fetched=tuple(fetched), gaps=tuple(dict.fromkeys(gaps + contexts.gaps)))


def instructions(message: Message) -> bool:
    """Whether a message is what a call's `instructions` said."""
    return any(isinstance(part, Text) and (part.extra or {}).get("instructions") is True for part in message.parts)


def _chained(call: Call) -> bool:
    return bool(call.previous or call.conversation) or any(True for _ in _references(call.messages))


def _references(messages: Iterable[Message]) -> Iterable[str]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, Other) and part.kind == "item_reference" and isinstance(part.data, dict):
                yield str(part.data.get("id"))


def _answered(calls: Sequence[RecordedCall]) -> tuple[list[RecordedCall], list[RecordedCall]]:
    """(model calls, each with the latest answer that was fetched for it; calls that only fetched).

    A fetched answer whose own call was recorded elsewhere stays a call where it has outputs: they were recorded.
    """
    known = {(one.project, one.call.response_id) for one in calls if one.call.about is None and one.call.response_id}
    later: dict[tuple[str, str | None], list[RecordedCall]] = {}
    lost: dict[tuple[str, str | None], RecordedCall] = {}
    fetched: list[RecordedCall] = []
    for one in calls:
        if one.call.about is None:
            continue
        key = (one.project, one.call.about)
        if key in known:
            later.setdefault(key, []).append(one)
        elif one.call.about != COUNT_ONLY and one.call.outputs:
            before = lost.get(key)
            if before is None or _progress(one.call) >= _progress(before.call):
                lost[key] = one
    own: list[RecordedCall] = []
    kept = {one.id for one in lost.values()}
    for one in calls:
        if one.call.about is None:
            own.append(_latest(one, later.get((one.project, one.call.response_id), [])))
        elif one.id in kept:
            own.append(one)
        else:
            fetched.append(one)
    return own, fetched


def _latest(one: RecordedCall, later: Sequence[RecordedCall]) -> RecordedCall:
    """A call with what was fetched of its answer: the furthest, the latest of equals; outputs are never lost again."""
    if not later:
        return one
    answers = [one.call, *(other.call for other in sorted(later, key=_started))]
    best = max(reversed(answers), key=_progress)
    said = best if best.outputs else max(reversed(answers), key=lambda call: (bool(call.outputs), _progress(call)))
    if best is one.call and said is one.call:
        return one
    call = replace(
        one.call, outputs=said.outputs, finish=best.finish or one.call.finish, usage=best.usage or one.call.usage,
        tokens=best.tokens or one.call.tokens, cost=best.cost or one.call.cost, logprobs=said.logprobs,
        unparsed=best.unparsed, unknown=one.call.unknown + said.unknown,
    )  # fmt: skip
    return replace(one, call=call)


def _progress(call: Call) -> int:
    if not call.finish:
        return -1
    return _DONE.get(call.finish[0], 2) if call.unparsed is None else min(_DONE.get(call.finish[0], 1), 1)


class _Contexts:
    """What stood before each call, worked out once per call and without recursion."""

    def __init__(self, calls: Sequence[RecordedCall]) -> None:
        self.gaps: list[str] = []
        self._by_response = {(one.project, one.call.response_id): one for one in calls if one.call.response_id}
        self._full: dict[str, tuple[Message, ...]] = {}
        """Id of the record -> its messages without instructions, whole context first."""
        self._items: dict[tuple[str, str], list[Part]] = {}
        self._silent: set[tuple[str, str]] = set()
        self._conversations: dict[tuple[str, str], list[RecordedCall]] = {}
        for one in sorted(calls, key=_started):
            self._learn_items(one)
            if one.call.conversation:
                self._conversations.setdefault((one.project, one.call.conversation), []).append(one)

    def resolved(self, one: RecordedCall) -> RecordedCall:
        if not _chained(one.call):
            return one
        head = tuple(message for message in one.call.messages if instructions(message))
        whole = (*head, *self._whole(one))
        return one if whole == one.call.messages else replace(one, call=replace(one.call, messages=whole))

    def _whole(self, one: RecordedCall) -> tuple[Message, ...]:
        """Walk back to a call whose context is known, then forward again."""
        path: list[RecordedCall] = []
        seen: set[str] = set()
        at: RecordedCall | None = one
        while at is not None and at.id not in self._full:
            if at.id in seen:
                self.gaps.append(f"the answers before {at.call.previous} name each other as their context")
                break
            seen.add(at.id)
            path.append(at)
            before = self._before(at)
            at = before[-1] if before else None
        for call in reversed(path):
            context: tuple[Message, ...] = ()
            for earlier in self._before(call):
                if call.call.conversation is None:
                    context = self._full.get(earlier.id, ())
                elif _failed(earlier):
                    continue
                else:
                    context += self._new(earlier)
                context += earlier.call.outputs
            self._full[call.id] = (*context, *self._new(call))
        return self._full.get(one.id, one.call.messages)

    def _before(self, one: RecordedCall) -> list[RecordedCall]:
        """The answer a call continues, or all earlier calls of its conversation."""
        call = one.call
        if call.previous is not None:
            found = self._by_response.get((one.project, call.previous))
            if found is None or found.id == one.id:
                self.gaps.append(f"the context before {call.previous} was recorded elsewhere")
                return []
            return [found]
        if call.conversation is None:
            return []
        members = self._conversations[one.project, call.conversation]
        return members[: next(index for index, member in enumerate(members) if member.id == one.id)]

    def _new(self, one: RecordedCall) -> tuple[Message, ...]:
        """What a call itself sent, without instructions, references replaced by what they name."""
        own = (message for message in one.call.messages if not instructions(message))
        return tuple(self._dereferenced(message, one.project) for message in own)

    def _dereferenced(self, message: Message, project: str) -> Message:
        if not any(True for _ in _references((message,))):
            return message
        parts: list[Part] = []
        for part in message.parts:
            named = next(iter(_references((Message(role="other", parts=(part,)),))), None)
            if named is None:
                parts.append(part)
            elif (found := self._items.get((project, named))) is not None:
                parts.extend(found)
            elif (project, named) not in self._silent:
                self.gaps.append(f"the item {named} was recorded elsewhere")
                parts.append(part)
        return replace(message, parts=tuple(parts))

    def _learn_items(self, one: RecordedCall) -> None:
        """Parts of answers by the id of the item they came in. The last answer that holds an item is right."""
        found: dict[str, list[Part]] = {}
        for output in one.call.outputs:
            current: str | None = None
            for part in output.parts:
                extra = {} if isinstance(part, Other) else part.extra or {}
                said = part.data.get("id") if isinstance(part, Other) and isinstance(part.data, dict) else None
                own = extra.get("id", said)
                # A server tool's result has no id of its own: it belongs to the item of its call.
                current = own if isinstance(own, str) else current if part.type == "tool_result" else None
                if current is not None:
                    found.setdefault(current, []).append(part)
                silent = extra.get("empty_items")
                self._silent |= {(one.project, str(item)) for item in (silent if isinstance(silent, list) else ())}
        self._items.update({(one.project, item): parts for item, parts in found.items()})


def _failed(one: RecordedCall) -> bool:
    """Whether the provider refused a call, so that nothing of it was added to the conversation."""
    return not one.call.outputs and (one.status is None or one.status >= 400)


def _started(one: RecordedCall) -> tuple[str, int]:
    return one.times.started, one.position
