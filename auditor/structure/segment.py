"""One run → messages, model calls and steps. Trees are recognised in tree.py, texts are cut in texts.py.

A step's parent is what caused it: a tool result's is the tool call with its id, a model call's the last message the
model saw, a thought's, tool call's or answer's the model call that wrote it.
"""

from collections import deque
from collections.abc import Sequence

from auditor.records.canonical import content_id
from auditor.records.lines import Line, Shared
from auditor.records.messages import (
    Message,
    PlacedMessage,
    Reasoning,
    Span,
    Text,
    ToolCall,
    ToolResult,
    message_id,
    part_text,
    place,
)
from auditor.records.structure import ModelCall, Step
from auditor.structure.choices import choices
from auditor.structure.echoes import MOST_LINES, lines, tasks
from auditor.structure.inputs import Joined, RecordedCall, RecordedSpan, RecordedTranscript, Thread
from auditor.structure.layout import Layout, arguments_form, short, whole
from auditor.structure.prefixes import Prefixes
from auditor.structure.samples import is_vote
from auditor.structure.texts import cut
from auditor.structure.tree import is_event
from auditor.structure.uses import ended, said_by, unheard


def lay_out(thread: Thread) -> Layout:
    """Messages, calls and steps of a run in order, without tree roles (tree.mark gives those)."""
    cutter = _Cutter(thread.run, thread.project)
    if thread.transcript is not None:
        cutter.transcript(thread.transcript)
    uses = deque(unheard(thread))
    for call, join in zip(thread.calls, thread.joins, strict=True):
        while uses and ended(uses[0]) <= call.times.started:
            cutter.use(uses.popleft())
        cutter.exchange(call, join)
    for use in uses:
        cutter.use(use)
    cutter.unanswered()
    cutter.layout.gaps.extend(thread.gaps)
    return cutter.layout


class _Cutter:
    def __init__(self, run: str, project: str) -> None:
        self.layout = Layout(run=run, project=project)
        self._tool_calls: dict[str, list[Step]] = {}
        self._loose: dict[str, Step] = {}
        """Tool-call steps that no result has named yet, in order."""
        self._last: dict[str, Step] = {}
        """Message id → last step cut from it."""
        self._followers: dict[str | None, list[str]] = {}
        """Message id → ids of recorded outputs that followed it."""
        self._said: dict[str, str] = {}
        """What a recorded output says, wherever it stands → its message id."""
        self._calls: dict[str, str] = {}
        """Id of an exchange record → id of its model call."""
        self._answers: dict[str, str] = {}
        """Response or conversation id → id of the latest model call that gave or joined it."""
        self._latest: Step | None = None
        """The last model call."""
        self._prefixes = Prefixes(self.layout.root)
        self._event = self.layout.root
        """Id of the last message that a span told of."""
        self._tasks: dict[str, Step] = {}
        """Text in a tool call's arguments, which may be another agent's task → the tool call."""
        self._lines: dict[str, Step] = {}
        """Line that a call wrote → the step it stands in."""

    def exchange(self, recorded: RecordedCall, join: Joined) -> None:
        """One proxied call: what is new among its inputs, the call, its outputs."""
        call, started = recorded.call, recorded.times.started
        fresh, inputs = self._prefixes.place(call.messages)
        chained = bool(call.previous or call.conversation)
        for placed in fresh:
            self._input(placed, started, chained=chained)
        if call.unparsed:
            self.layout.gaps.append(f"exchange {recorded.id[:12]} could not be read: {call.unparsed}")
        elif recorded.outcome != "complete":
            self.layout.gaps.append(f"exchange {recorded.id[:12]} ended as {recorded.outcome}")
        last = inputs[-1] if inputs else self.layout.root
        outputs = [place((output,), last)[0] for output in call.outputs]
        model_call = ModelCall(
            id=content_id({"record": recorded.id, "index": 0}), record=recorded.id,
            model=call.model or recorded.asked or "unknown", model_digest=recorded.model_digest,
            dialect=recorded.dialect, inputs=inputs, outputs=tuple(one.id for one in outputs),
            tools=None, settings=dict(call.settings), at=started, purpose=recorded.joins.purpose,
            logprobs=call.logprobs, retry_of=self._calls.get(join.retry_of or ""),
            continues=self._answers.get(call.previous or call.conversation or ""), agent=recorded.agent,
            spans=recorded.spans, tokens=call.tokens, cost=call.cost,
        )  # fmt: skip
        self._calls[recorded.id] = model_call.id
        for named in (call.response_id, call.conversation):
            if named:
                self._answers[named] = model_call.id
        self._call(model_call, outputs, grade=join.grade, rule=join.rule)

    def transcript(self, recorded: RecordedTranscript) -> None:
        """An imported run: every assistant message is taken as one call that saw all messages before it, except those
        that the file says are choices of one call. What follows choices goes on from the first."""
        messages = recorded.messages
        groups = choices(recorded.transcript.facts, messages, self.layout.gaps)
        before = Shared()
        index, last = 0, self.layout.root
        while index < len(messages):
            count = groups.get(index, 1)
            group = [place((one,), last)[0] for one in messages[index : index + count]]
            last = group[0].id
            if group[0].message.role == "assistant":
                self._answered(recorded, index, group, Line(before))
            elif is_event(group[0]) or is_vote(group[0].message):
                self.layout.add_message(group[0])
            else:
                self._input(group[0], None)
            before.append(last)
            index += count

    def _answered(self, recorded: RecordedTranscript, index: int, group: Sequence[PlacedMessage], before: Line) -> None:
        tokens, cost = recorded.counted.get(index, (None, None))
        call = ModelCall(
            id=content_id({"record": recorded.id, "index": index}), record=recorded.id,
            model=recorded.transcript.model, model_digest="unknown", dialect=None, inputs=before,
            outputs=tuple(one.id for one in group), tools=None, settings={}, at=None, tokens=tokens, cost=cost,
        )  # fmt: skip
        self._call(call, group, grade="recorded", rule="transcript")

    def use(self, recorded: RecordedSpan) -> None:
        """A tool that ran or a retrieval, as its span tells it, where no call's messages do."""
        call, result, rule = said_by(recorded)
        asked = self._asked_for(call)
        parts = (result,) if asked is not None else (call, result)
        message = Message(role="event", parts=parts)
        placed = PlacedMessage(id=message_id(message, self._event), parent=self._event, message=message)
        self.layout.add_message(placed)
        self._event = placed.id
        at, grade, tied = ended(recorded) or None, "recorded", rule
        if asked is None:
            latest = self._latest
            asked = self.layout.add_step(
                "tool_call", parent=latest.id if latest else None, call=None, message=placed.id,
                span=whole(placed.id, 0, call.arguments), label=short(f"{call.name}({call.arguments})"),
                at=recorded.span.started, grade="inferred" if latest else "recorded", rule="before_in_time",
            )  # fmt: skip
            if call.call_id:
                self._tool_calls.setdefault(call.call_id, []).append(asked)
        else:
            del self._loose[asked.id]
            if not call.call_id:
                grade, tied = "inferred", "name_and_arguments"
        self._last[placed.id] = self.layout.add_step(
            "tool_result", parent=asked.id, call=None, message=placed.id,
            span=whole(placed.id, len(parts) - 1, result.text), label=f"{call.name}: {result.text}", at=at,
            grade=grade, rule=tied,
        )  # fmt: skip

    def _asked_for(self, call: ToolCall) -> Step | None:
        """The tool-call step without a result that a tool's span answers."""
        if call.call_id:
            return next((step for step in self._tool_calls.get(call.call_id, ()) if step.id in self._loose), None)
        label = short(f"{call.name}({call.arguments})")
        return next((step for step in self._loose.values() if step.label == label), None)

    def unanswered(self) -> None:
        """Say which tool calls have no recorded result, except those of the last call, which may simply be the end."""
        last = self.layout.calls[-1].id if self.layout.calls else None
        for step in self._loose.values():
            if step.call != last:
                self.layout.gaps.append(f"tool call {step.label} has no recorded result")

    def _input(self, placed: PlacedMessage, at: str | None, *, chained: bool = False) -> None:
        if not self.layout.add_message(placed):
            return
        message = placed.message
        if message.role == "assistant":
            self._unrecorded_assistant(placed, at, chained=chained)
            return
        for index, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                self._result(placed.id, index, part, at)
            elif part_text(part) and not self._observation(placed.id, index, part_text(part), at):
                span = whole(placed.id, index, part_text(part))
                cause, rule = self._cause(part_text(part))
                self._last[placed.id] = self.layout.add_step(
                    "prompt", parent=cause.id if cause else None, call=None, message=placed.id, span=span,
                    label=f"{message.role}: {part_text(part)}", at=at, grade="inferred" if cause else "recorded",
                    rule=rule or f"role_{message.role}",
                )  # fmt: skip

    def _cause(self, text: str) -> tuple[Step | None, str]:
        """What a prompt was made from, by the rules that also tie calls together: a sub-agent's task, a summary."""
        asked = self._tasks.get(text.strip())
        if asked is not None:
            return asked, "tool_argument"
        wrote = next((self._lines[line] for line in lines(text, MOST_LINES) if line in self._lines), None)
        return wrote, "quoted_output" if wrote else ""

    def _observation(self, message: str, index: int, text: str, at: str | None) -> bool:
        """A tool result that a client (smolagents) sends as a user's `Observation:`; inferred, where one call waits."""
        if len(self._loose) != 1 or not text.lstrip().startswith("Observation:"):
            return False
        _, asked = self._loose.popitem()
        self._last[message] = self.layout.add_step(
            "tool_result", parent=asked.id, call=None, message=message, span=whole(message, index, text),
            label=f"{asked.label.partition('(')[0]}: {text}", at=at, grade="inferred", rule="observation_text",
        )  # fmt: skip
        return True

    def _unrecorded_assistant(self, placed: PlacedMessage, at: str | None, *, chained: bool) -> None:
        """An assistant message no recorded call of this run gave: a changed echo, or an example in the prompt.

        In a `chained` call, whose context the server kept, it is a recorded output that now stands behind other
        instructions.
        """
        given = self._followers.get(placed.parent, [])
        if not given and chained and (same := self._said.get(message_id(placed.message, None))) is not None:
            given = [same]
        if given:
            self._last[placed.id] = self._last[given[-1]]
            if not any(_same_words(placed.message, self.layout.message(one)) for one in given):
                self.layout.gaps.append("a later request repeats an assistant message other than the model gave it")
            for index, part in enumerate(placed.message.parts):
                if isinstance(part, ToolCall) and part.call_id and part.call_id not in self._tool_calls:
                    self._asked(placed.id, index, part, parent=self._last[placed.id], call=None, at=None)
            return
        for index, part in enumerate(placed.message.parts):
            if isinstance(part, ToolCall):
                self._asked(placed.id, index, part, parent=None, call=None, at=None)
            elif isinstance(part, ToolResult):
                self._result(placed.id, index, part, at)
            elif part_text(part):
                span = whole(placed.id, index, part_text(part))
                self._last[placed.id] = self.layout.add_step(
                    "prompt", parent=None, call=None, message=placed.id, span=span,
                    label=f"assistant: {part_text(part)}", at=None, rule="assistant_in_prompt",
                )  # fmt: skip

    def _result(self, message: str, index: int, part: ToolResult, at: str | None) -> None:
        asked = self._tool_calls.get(part.call_id or "")
        grade, rule, step = "recorded", "tool_call_id", asked[-1] if asked else None
        if step is None and self._loose:
            grade, rule, step = "inferred", "order", next(iter(self._loose.values()))
        if step is None:
            grade, rule = "inferred", "no_tool_call"
            self.layout.gaps.append(f"a result of tool {part.name or 'unknown'} has no recorded tool call")
        elif step.id in self._loose:
            del self._loose[step.id]
        self._last[message] = self.layout.add_step(
            "tool_result", parent=step.id if step else None, call=None, message=message,
            span=whole(message, index, part.text), label=f"{part.name or _named(step)}: {part.text}", at=at,
            grade=grade, rule=rule,
        )  # fmt: skip

    def _call(self, call: ModelCall, outputs: Sequence[PlacedMessage], grade: str, rule: str) -> None:
        self.layout.calls.append(call)
        cause = self._last.get(call.inputs[-1]) if call.inputs else None
        step = self.layout.add_step(
            "model_call", parent=cause.id if cause else None, call=call.id, message=None, span=None, label=call.model,
            at=call.at, grade=grade, rule=rule,
        )  # fmt: skip
        self._latest = step
        for placed in {one.id: one for one in outputs}.values():  # equal choices are one message
            self._followers.setdefault(placed.parent, []).append(placed.id)
            self._said[message_id(placed.message, None)] = placed.id
            self.layout.add_message(placed)
            self._output(placed, call, step)
            self._last.setdefault(placed.id, step)

    def _output(self, placed: PlacedMessage, call: ModelCall, parent: Step) -> None:
        acts = any(isinstance(part, ToolCall) for part in placed.message.parts)
        for index, part in enumerate(placed.message.parts):
            if isinstance(part, ToolCall):
                self._asked(placed.id, index, part, parent=parent, call=call.id, at=call.at)
            elif isinstance(part, ToolResult):  # of a tool that the model's server ran
                self._result(placed.id, index, part, call.at)
            elif isinstance(part, Text | Reasoning):
                self._written(placed.id, index, part, parent, call, acts=acts)

    def _written(
        self, message: str, index: int, part: Text | Reasoning, parent: Step, call: ModelCall, *, acts: bool
    ) -> None:
        """Text beside a tool call, and reasoning, is thought; otherwise it is cut into thoughts and an answer."""
        for piece in cut(part.text):
            thought = acts or isinstance(part, Reasoning) or piece.kind == "thought"
            span = Span(message=message, part=index, start=piece.start, end=piece.end)
            step = self._last[message] = self.layout.add_step(
                "thought" if thought else "answer", parent=parent.id, call=call.id, message=message, span=span,
                label=piece.text, at=call.at, rule=piece.mark,
            )  # fmt: skip
            for line in lines(piece.text, MOST_LINES):
                self._lines.setdefault(line, step)

    def _asked(
        self, message: str, index: int, part: ToolCall, *, parent: Step | None, call: str | None, at: str | None
    ) -> None:
        step = self.layout.add_step(
            "tool_call", parent=parent.id if parent else None, call=call, message=message,
            span=whole(message, index, part.arguments), label=short(f"{part.name}({part.arguments})"), at=at,
        )  # fmt: skip
        self._last[message] = step
        for task in tasks(part.arguments):
            self._tasks.setdefault(task, step)
        if not (part.extra or {}).get("server"):  # its result need not be told to anybody
            self._loose[step.id] = step
        if part.call_id:
            self._tool_calls.setdefault(part.call_id, []).append(step)


def _named(step: Step | None) -> str:
    return step.label.partition("(")[0] if step else "tool"


def _same_words(left: Message, right: Message) -> bool:
    """Texts and tool calls agree, whatever else a client added or dropped."""
    return _words(left) == _words(right)


def _words(message: Message) -> tuple[str, list[tuple[str, str]]]:
    texts = "".join(part.text for part in message.parts if isinstance(part, Text)).strip()
    return texts, [(part.name, arguments_form(part.arguments)) for part in message.parts if isinstance(part, ToolCall)]
