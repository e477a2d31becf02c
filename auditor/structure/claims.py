"""What a run says, or makes plain enough to test: this source moved that decision.

A target is the decision's bytes only: the value in an answer or in a tool argument, a selector's choice. Sources are
places that the deciding call could see: its inputs, or earlier text of its own output.

| type | status | found_by | rule |
|---|---|---|---|
| tool_answer | stated | `shared_value+cue` | the sentence names the tool, a result of it holds the value |
| tool_answer | stated | `cited_tool+cue` | the sentence names the tool, whose only value of that kind differs |
| tool_answer | available | `shared_value`, `operand_*` | a result holds the value, or an operand of it |
| prompt_answer | available | `shared_value`, `operand_*` | the prompt does; the decision may be a tool argument |
| tool_action | available | `shared_value` | a tool argument holds a value of an earlier result |
| step_answer | stated | `step_before_answer`, `thought_before_answer` | a chain is offered as the answer's reason |
| thought_action | stated | `thought_before_action` | a thought stands beside the tool call it leads to |
| branch_answer | stated | `chosen_branch` | the answer holds a value of the branch the selector took |
| score_branch | stated | `selection_event` | the selector was given these scores |

Not seen: decisions without a value (yes or no, free text), sources named by a pronoun, languages other than English for
citations (values are found in any script).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from auditor.records.messages import Span, ToolCall, ToolResult
from auditor.records.structure import Claim, ClaimType, ModelCall, Step, claim_id
from auditor.structure.cues import cited, cites_prompt
from auditor.structure.layout import Layout
from auditor.structure.links import Derivation, Place, Places, found_in

_MOST_DECISIONS = 12
_MOST_SOURCES = 8


def find_claims(layout: Layout, places: Places) -> list[Claim]:
    """All claims of a run, in the order of their targets' steps; each id once."""
    finder = _Finder(layout, places)
    for step in layout.steps:
        if step.kind == "answer" and step.call is not None:
            finder.answer(step)
        elif step.kind == "tool_call" and step.call is not None:
            finder.action(step)
    finder.choices()
    return list(finder.found.values())


def tool_names(layout: Layout) -> Mapping[str, str]:
    """Tool-result step → name of its tool, by the result itself or by the call it answers."""
    steps = {step.id: step for step in layout.steps}
    names = {}
    for step in layout.steps:
        if step.kind != "tool_result" or step.span is None:
            continue
        part = layout.message(step.span.message).parts[step.span.part]
        name = part.name if isinstance(part, ToolResult) else None
        asked = steps.get(step.parent or "")
        if asked is not None and asked.span is not None:
            call = layout.message(asked.span.message).parts[asked.span.part]
            name = call.name if isinstance(call, ToolCall) else name
        names[step.id] = name or "tool"
    return names


def sentence_around(layout: Layout, step: Step, span: Span) -> str:
    """The sentence of a step that a span lies in."""
    if step.span is None:
        return ""
    for start, end in layout.sentences_of(step.span):
        if start <= span.start < end:
            return layout.text(replace(step.span, start=start, end=end))
    return layout.text(step.span)


def decisions(layout: Layout, places: Places, step: Step) -> list[Place]:
    """Decision values of an answer, the main one last.

    Of one sentence: its last number, else its last value. Of several: every weighty value, at most 12.
    """
    if step.span is None:
        return []
    own = places.of_step(step)
    if not own:
        return []
    numbers = [place for place in own if place.value.number is not None]
    main = (numbers or own)[-1]
    if len(layout.sentences_of(step.span)) <= 1:
        return [main]
    others = {place.value.key: place for place in own if place.value.weighty}
    others.pop(main.value.key, None)
    return [*list(others.values())[: _MOST_DECISIONS - 1], main]


class _Finder:
    def __init__(self, layout: Layout, places: Places) -> None:
        self.layout = layout
        self.places = places
        self.found: dict[str, Claim] = {}
        self._names = tool_names(layout)
        self._tools: dict[str, list[Step]] = {}
        """Name of a tool → its results, in order."""
        self._prompts: dict[str, list[Step]] = {}
        """Message → the prompts in it."""
        self._scores: dict[str, Step] = {}
        """Branch → the first step that scores it."""
        for step in layout.steps:
            if step.id in self._names:
                self._tools.setdefault(self._names[step.id], []).append(step)
            elif step.kind == "prompt" and step.message is not None:
                self._prompts.setdefault(step.message, []).append(step)
            elif step.kind == "score" and step.parent is not None:
                self._scores.setdefault(step.parent, step)
        self._calls = {call.id: call for call in layout.calls}
        self._chosen = {
            selection.candidates[selection.chosen] for selection in layout.selections if selection.candidates
        } - {""}
        self._steps = {step.id: step for step in layout.steps}

    def answer(self, step: Step) -> None:
        call = self._calls[step.call or ""]
        targets = decisions(self.layout, self.places, step)
        for place in targets:
            self._sources_of_answer(step, call, place)
        if targets:
            self._chain(step, call, targets[-1].span, "step_answer")
        elif (span := self._short_answer(step)) is not None:
            self._chain(step, call, span, "step_answer")

    def action(self, step: Step) -> None:
        call = self._calls[step.call or ""]
        matched: list[Span] = []
        own = self.places.of_step(step)
        for place in own[: 2 * _MOST_DECISIONS]:
            if any(outer.start <= place.span.start and place.span.end <= outer.end for outer in matched):
                continue
            by_step = self._visible(self.places.same(place), call, place.span)
            if place.value.kind in ("text", "name", "id"):
                by_step = self._by_word(step, call, place) | by_step
            for source, spans in by_step.items():
                kind = self._steps[source].kind
                if kind == "tool_result":
                    self._add("tool_action", "available", spans, place.span, self._steps[source], step, "shared_value")
                    matched.append(place.span)
                elif kind == "prompt":
                    self._add(
                        "prompt_answer", "available", spans, place.span, self._steps[source], step, "shared_value"
                    )
                    matched.append(place.span)
        if own:
            self._chain(step, call, own[0].span, "thought_action")

    def choices(self) -> None:
        """score_branch: all recorded scores → the choice."""
        for selection in self.layout.selections:
            step = self._steps[selection.step]
            if step.span is None or step.message is None:
                continue
            scores = [
                self.layout.field(step.message, f"/candidates/{index}/score") for index in range(len(selection.scores))
            ]
            scored = self._scores.get(selection.candidates[selection.chosen])
            if scored is not None:
                self._add(
                    "score_branch", "stated", scores, step.span, scored, step, "selection_event", call=scored.call
                )

    def _sources_of_answer(self, step: Step, call: ModelCall, place: Place) -> None:
        sentence = sentence_around(self.layout, step, place.span)
        names = sorted(name for name, ran in self._tools.items() if any(self._sees(call, one) for one in ran))
        cites = cited(sentence, names)
        by_step = self._visible(self.places.same(place), call, place.span)
        chosen = self._branch_spans(call)
        sourced = False
        for source, spans in by_step.items():
            origin = self._steps[source]
            if origin.kind == "tool_result":
                sourced = True
                named = cites is not None and self._names[source] in cites[0]
                found_by = f"shared_value+{cites[1]}" if named and cites else "shared_value"
                self._add("tool_answer", "stated" if named else "available", spans, place.span, origin, step, found_by)
            elif origin.kind == "prompt":
                sourced = True
                taken, rest = _inside(spans, chosen)
                if taken:
                    branch = self._steps[next(iter(self._chosen))]
                    self._add("branch_answer", "stated", taken, place.span, branch, step, "chosen_branch")
                if rest:
                    status = "stated" if cites_prompt(sentence) else "available"
                    self._add("prompt_answer", status, rest, place.span, origin, step, "shared_value")
        if not sourced:
            self._operands(step, call, place)
        if cites is not None and not any(self._names.get(one) in cites[0] for one in by_step):
            self._cited_elsewhere(step, call, place, cites)

    def _operands(self, step: Step, call: ModelCall, place: Place) -> None:
        """No copy in sight: the operands of a one-step derivation of the decision that the call could see."""
        derivation: Derivation | None = self.places.derived_from(
            place, lambda one: self._seen(call, place.span, one.span)
        )
        for operand in (derivation.left, derivation.right) if derivation else ():
            kinds: dict[str, ClaimType] = {"prompt": "prompt_answer", "tool_result": "tool_answer"}
            # A value that the text repeats (`add 7` … `+ 7`) was given by the last place outside the model's own words.
            one = operand
            if operand.step.kind == "thought" and not self._is_result(operand):
                alike = reversed(self.places.alike(operand.value))
                given = (one for one in alike if one.step.kind in kinds and self._seen(call, place.span, one.span))
                one = next(given, operand)
            if derivation and one.step.kind in kinds:
                self._add(kinds[one.step.kind], "available", [one.span], place.span, one.step, step,
                          f"operand_of_{derivation.rule}")  # fmt: skip

    def _is_result(self, place: Place) -> bool:
        """The value is what a step of the chain arrived at, so the step is its source."""
        span = place.step.span
        return span is not None and self._core(place.step, place.span) == place.span

    def _cited_elsewhere(self, step: Step, call: ModelCall, place: Place, cites: tuple[frozenset[str], str]) -> None:
        """The sentence names a tool whose result does not hold the value: its only value of that kind is the source."""
        seen = (next((one for one in reversed(self._tools[name]) if self._sees(call, one)), None) for name in cites[0])
        result = max((one for one in seen if one is not None), key=lambda one: one.order, default=None)
        if result is None:
            return
        alike = [one for one in self.places.of_step(result) if one.value.kind == place.value.kind]
        if len(alike) == 1:
            self._add("tool_answer", "stated", [alike[0].span], place.span, result, step, f"cited_tool+{cites[1]}")

    def _chain(self, step: Step, call: ModelCall, target: Span, type_: ClaimType) -> None:
        """Every thought of the same output before the decision."""
        for thought in self.layout.of_call.get(call.id, ()):
            if thought.kind != "thought" or thought.span is None or thought.message != step.message:
                continue
            if (thought.span.part, thought.span.end) > (target.part, target.start):
                continue
            word = "step" if "=" in self.layout.text(thought.span) or thought.rule.startswith("step") else "thought"
            found_by = f"{word}_before_{'action' if type_ == 'thought_action' else 'answer'}"
            self._add(type_, "stated", [self._core(thought, target)], target, thought, step, found_by)

    def _core(self, thought: Step, target: Span) -> Span:
        """A thought's value: the result of its arithmetic, its only number, the decision; else all of it."""
        if thought.span is None:
            raise TypeError("a thought without text")
        text = self.layout.text(thought.span).encode()
        own = self.places.of_step(thought)
        numbers = [one for one in own if one.value.number is not None]
        equals = text.rfind(b"=")
        results = [one for one in numbers if equals >= 0 and one.span.start - thought.span.start > equals]
        if results:
            return results[-1].span
        if len(numbers) == 1:
            return numbers[0].span
        wanted = self.layout.text(target)
        shared = [one for one in own if one.value.text == wanted]
        return shared[-1].span if shared else thought.span

    def _short_answer(self, step: Step) -> Span | None:
        """A marked answer without a value is itself the decision when it is short."""
        if step.span is None or "answer" not in step.rule:
            return None
        text = self.layout.text(step.span).rstrip(".!?。！？।؟ ")
        size = len(text.encode())
        if not 0 < size <= 60:
            return None
        return Span(message=step.span.message, part=step.span.part, start=step.span.start, end=step.span.start + size)

    def _branch_spans(self, call: ModelCall) -> list[Span]:
        """Where the texts of chosen branches stand in the last message a call saw."""
        prompts = self._prompts.get(call.inputs[-1], []) if call.inputs else []
        spans = []
        for branch in sorted(self._chosen):
            own = self._steps[branch]
            if own.span is not None and own.call != call.id:
                spans += [span for _, span in found_in(self.layout, prompts, self.layout.text(own.span))]
        return spans

    def _by_word(self, step: Step, call: ModelCall, place: Place) -> dict[str, list[Span]]:
        by_step: dict[str, list[Span]] = {}
        if place.value.weighty:
            texts = self.layout.with_words(place.value.text, step.order)
            seen = [one for one in texts if self._sees(call, one)]
            for one, span in found_in(self.layout, seen, place.value.text):
                by_step.setdefault(one.id, []).append(span)
        return by_step

    def _visible(self, found: Iterable[Place], call: ModelCall, target: Span) -> dict[str, list[Span]]:
        by_step: dict[str, list[Span]] = {}
        for place in found:
            if self._seen(call, target, place.span):
                by_step.setdefault(place.step.id, []).append(place.span)
        return by_step

    def _sees(self, call: ModelCall, step: Step) -> bool:
        return step.message is not None and step.message in call.inputs

    def _seen(self, call: ModelCall, target: Span, span: Span) -> bool:
        if span.message == target.message:
            return (span.part, span.end) <= (target.part, target.start)
        return span.message in call.inputs

    def _add(
        self, type_: ClaimType, status: str, sources: Sequence[Span], target: Span, source: Step, decided: Step,
        found_by: str, call: str | None = None,
    ) -> None:  # fmt: skip
        kept = tuple(dict.fromkeys(sources))[:_MOST_SOURCES]
        own = claim_id(type_, kept, target, "depends_on")
        if own not in self.found:
            self.found[own] = Claim(
                id=own, type=type_, status=status, relation="depends_on", sources=kept, target=target,  # type: ignore[arg-type]
                source_step=source.id, target_step=decided.id, call=call or decided.call or "", found_by=found_by,
                text=self._sentence(type_, kept, target, source, decided),
            )  # fmt: skip

    def _sentence(self, type_: ClaimType, sources: Sequence[Span], target: Span, source: Step, decided: Step) -> str:
        what = {
            "tool_answer": "the result of {tool}", "tool_action": "the result of {tool}", "prompt_answer": "the prompt",
            "step_answer": "an earlier step", "thought_action": "a thought", "branch_answer": "the chosen branch",
            "score_branch": "the scores", "document_answer": "a document",
        }[type_].format(tool=self._names.get(source.id, "a tool"))  # fmt: skip
        decision = {"tool_call": "tool argument", "selection": "choice"}.get(decided.kind, "answer")
        quoted = ", ".join(f"“{_clip(self.layout.text(span))}”" for span in sources[:3])
        return f"The {decision} “{_clip(self.layout.text(target))}” depends on {quoted} in {what}."


def _inside(spans: Sequence[Span], outer: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Spans that lie in one of `outer`, and the others."""
    taken = [
        span for span in spans
        if any(one.message == span.message and one.part == span.part and one.start <= span.start and span.end <= one.end
               for one in outer)
    ]  # fmt: skip
    return taken, [span for span in spans if span not in taken]


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"
