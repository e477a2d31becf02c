"""Recorded messages -> the text the model saw, and where each part of them stands in it. Torch-free.

The text is made by the model's own chat template, from the same chat form that `transformers serve` hands to it: tool
arguments parsed, the texts of one message joined by a space, no text beside a tool call, no reasoning of earlier
turns. Places are found by rendering a second time with every value wrapped in characters (or replaced by a number)
that occur nowhere else; they count only when taking the marks out again gives the first rendering, character for
character. What cannot be found that way is not guessed: a span into it is refused.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.evidence.json_text import JsonLeaf, json_leaves, replace_leaves, string_places
from auditor.evidence.refusal import ReplayRefused
from auditor.records.messages import Message, Other, Reasoning, Text, ToolCall, ToolResult, part_text

_FIRST_MARK = 0xF0000
_MARKS = re.compile("[\U000f0000-\U000ffffd]")
_FIRST_NUMBER = 773_100_000_000_000


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A value handed to the template. `places[i]`: offset of its character i in the part's text, the end included."""

    message: str
    part: int
    value: Any
    places: tuple[int, ...]
    trims: bool
    """Whether a template may trim outer white space from it (message texts, not JSON fields)."""

    @property
    def core(self) -> tuple[int, int]:
        """Characters of a text value that are surely shown."""
        if not self.trims:
            return 0, len(self.value)
        start = len(self.value) - len(self.value.lstrip())
        return start, start + len(self.value.strip())


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A leaf and `shown[i]`: offset of its character i in the rendered text, the end included."""

    leaf: Leaf
    shown: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The whole text, the offset at which the model's own output begins, and what could be placed.

    `extents` gives, for parts re-serialised as a whole, where the object stands.
    """

    text: str
    output_start: int
    placed: Mapping[tuple[str, int], tuple[Placed, ...]]
    extents: Mapping[tuple[str, int], tuple[int, int]]

    def characters(self, message: str, part: int, start: int, end: int) -> tuple[int, int]:
        """Rendered characters of the characters [start, end) of a part; ReplayRefused when they are not shown."""
        leaves = self.placed.get((message, part), ())
        inside = [p for p in leaves if p.leaf.places[0] < end and p.leaf.places[-1] > start]
        if not inside or end <= start:
            raise ReplayRefused("unsupported", f"part {part} of message {message[:12]} is not found in the prompt")
        first, last = inside[0], inside[-1]
        low = first.shown[max(0, bisect_right(first.leaf.places, start) - 1)]
        final = [n for n, place in enumerate(last.leaf.places) if place >= end]
        high = last.shown[final[0]] if final else last.shown[-1]
        extent = self.extents.get((message, part))
        if extent and start < leaves[0].leaf.places[0] and end > leaves[-1].leaf.places[-1]:
            low, high = extent
        if high <= low:
            raise ReplayRefused("unsupported", f"part {part} of message {message[:12]} was trimmed by the template")
        return low, high


class ChatForm:
    """Messages as the chat dictionaries of a request, with every text value kept apart as a numbered leaf."""

    def __init__(self, messages: Sequence[tuple[str, Message]], *, output: bool) -> None:
        self.leaves: list[Leaf] = []
        self._build: list[tuple[str, Any]] = []
        for ident, message in messages:
            if message.role != "event":
                self._add(ident, message, output)

    def chat(self, values: Sequence[Any]) -> list[dict[str, Any]]:
        """The chat with leaf k replaced by values[k]."""
        return [_fill(form, values) for _, form in self._build]

    def _leaf(self, ident: str, part: int, value: Any, places: tuple[int, ...], trims: bool) -> "_Hole":
        self.leaves.append(Leaf(message=ident, part=part, value=value, places=places, trims=trims))
        return _Hole(len(self.leaves) - 1)

    def _text(self, ident: str, part: int, text: str) -> "_Hole":
        return self._leaf(ident, part, text, tuple(range(len(text) + 1)), trims=True)

    def _add(self, ident: str, message: Message, output: bool) -> None:
        """One chat dictionary, or one for each tool result."""
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        texts: list[_Hole | _Joined] = []
        inline: list[_Hole | str] = []
        form: dict[str, Any] = {"role": message.role}
        for index, part in enumerate(message.parts):
            if isinstance(part, Other):
                raise ReplayRefused("unsupported", f"a {part.kind!r} part cannot be rendered from the record")
            if isinstance(part, ToolResult):
                result = {"role": "tool", "content": _Joined((self._text(ident, index, part.text),))}
                self._build.append((ident, result | ({"tool_call_id": part.call_id} if part.call_id else {})))
            elif isinstance(part, ToolCall):
                form.setdefault("tool_calls", []).append(self._call(ident, index, part))
            elif isinstance(part, Reasoning):
                if (tags := _inline(part)) and (output or not calls):
                    inline += [tags[0], self._text(ident, index, part.text), tags[1]]
                elif output and not tags:
                    form["reasoning_content"] = _Joined((self._text(ident, index, part.text),))
            elif isinstance(part, Text) and (output or not calls):
                tags, hole = _inline(part), self._text(ident, index, part.text)
                inline += [tags[0]] if tags else []
                texts.append(_Joined((*inline, hole), glue="") if inline else hole)
                inline = []
        texts += [_Joined(tuple(inline), glue="")] if inline else []
        if len(form) == 1 and not texts and any(isinstance(part, ToolResult) for part in message.parts):
            return
        form["content"] = _Joined(tuple(texts))
        self._build.append((ident, form))

    def _call(self, ident: str, index: int, part: ToolCall) -> dict[str, Any]:
        try:
            arguments = json.loads(part.arguments)
            found = json_leaves(part.arguments)
        except (ValueError, RecursionError) as fault:
            raise ReplayRefused("unsupported", f"tool arguments are not JSON: {fault}") from fault
        rest = iter(found)

        def put(value: Any) -> "_Hole":
            leaf: JsonLeaf | None = next(rest, None)
            if leaf is None or leaf.value != value:
                raise ReplayRefused("unsupported", "tool arguments repeat a key, so their order cannot be known")
            return self._leaf(ident, index, value, leaf.places, trims=False)

        body = {"name": part.name, "arguments": replace_leaves(arguments, put)}
        if next(rest, None) is not None:
            raise ReplayRefused("unsupported", "tool arguments repeat a key, so their order cannot be known")
        call: dict[str, Any] = {"type": "function", "function": body}
        return call | ({"id": part.call_id} if part.call_id else {})


@dataclass(frozen=True)
class _Hole:
    number: int


@dataclass(frozen=True)
class _Joined:
    holes: "tuple[_Hole | _Joined | str, ...]"
    """Texts as they are, and what stands for some."""
    glue: str = " "


def _inline(part: Text | Reasoning) -> tuple[str, str] | None:
    """Tags a capture dialect took off a content's thinking: what stood before and after the part's text."""
    tags = (part.extra or {}).get("inline")
    if isinstance(tags, (list, tuple)) and len(tags) == 2 and all(isinstance(tag, str) for tag in tags):
        return str(tags[0]), str(tags[1])
    return None


def _fill(form: Any, values: Sequence[Any]) -> Any:
    if isinstance(form, _Hole):
        return values[form.number]
    if isinstance(form, _Joined):
        return form.glue.join(hole if isinstance(hole, str) else _fill(hole, values) for hole in form.holes)
    if isinstance(form, dict):
        return {key: _fill(value, values) for key, value in form.items()}
    if isinstance(form, list):
        return [_fill(value, values) for value in form]
    return form


class Template:
    """The chat template of one model with the tools and template settings of one call."""

    def __init__(self, tokenizer: Any, template: str, tools: Sequence[Mapping[str, Any]], settings: Any) -> None:
        self._tokenizer = tokenizer
        self._fixed: dict[str, Any] = dict(settings) if isinstance(settings, Mapping) else {}
        self._fixed |= {"chat_template": template, "tools": [dict(tool) for tool in tools] or None, "tokenize": False}

    def render(self, chat: list[dict[str, Any]], *, open_turn: bool) -> str:
        """The template's text; `open_turn` adds the assistant's opening."""
        try:
            text: str = self._tokenizer.apply_chat_template(chat, add_generation_prompt=open_turn, **self._fixed)
        except Exception as fault:  # templates run arbitrary Jinja and raise whatever they like
            raise ReplayRefused("unsupported", f"the chat template refuses this conversation: {fault}") from fault
        return text


def render(
    inputs: Sequence[tuple[str, Message]], output: tuple[str, Message], template: Template, end: str
) -> Rendering:
    """Prompt and recorded output as one text, with every part placed. `end` is the text of the end token."""
    prompt_form = ChatForm(inputs, output=False)
    prompt_values = [leaf.value for leaf in prompt_form.leaves]
    prompt = template.render(prompt_form.chat(prompt_values), open_turn=True)
    _refuse_marks([prompt, *(part_text(part) for part in output[1].parts)])
    placed = _place(prompt_form, template, prompt, open_turn=True, before=[])
    output_form = ChatForm([output], output=True)
    values = [leaf.value for leaf in output_form.leaves]
    before = prompt_form.chat(prompt_values)
    whole = template.render(before + output_form.chat(values), open_turn=False)
    if whole.startswith(prompt):
        placed += _place(output_form, template, whole, open_turn=False, before=before)
    else:
        whole, own = _continued(prompt, output, end)
        placed += own
    return _rendering(whole, len(prompt), placed, [*inputs, output])


def _continued(prompt: str, output: tuple[str, Message], end: str) -> tuple[str, list[Placed]]:
    """For templates that show finished turns differently: the text itself, straight after the prompt."""
    parts = output[1].parts
    if len(parts) != 1 or not isinstance(parts[0], Text):
        raise ReplayRefused("unsupported", "the template does not continue its own generation prompt with this output")
    text = parts[0].text
    leaf = Leaf(message=output[0], part=0, value=text, places=tuple(range(len(text) + 1)), trims=True)
    shown = tuple(range(len(prompt), len(prompt) + len(text) + 1))
    return prompt + text + end, [Placed(leaf=leaf, shown=shown)]


def _rendering(text: str, start: int, placed: list[Placed], messages: list[tuple[str, Message]]) -> Rendering:
    by_part: dict[tuple[str, int], list[Placed]] = {}
    for item in placed:
        by_part.setdefault((item.leaf.message, item.leaf.part), []).append(item)
    extents: dict[tuple[str, int], tuple[int, int]] = {}
    for ident, message in messages:
        for index, part in enumerate(message.parts):
            own = by_part.get((ident, index), [])
            if isinstance(part, ToolCall) and own:
                found = _object_extent(text, part.arguments, own)
                if found is not None:
                    extents[ident, index] = found
    tidy = {key: tuple(sorted(items, key=lambda item: item.shown[0])) for key, items in by_part.items()}
    return Rendering(text=text, output_start=start, placed=tidy, extents=extents)


def _object_extent(text: str, arguments: str, own: list[Placed]) -> tuple[int, int] | None:
    """Where the whole arguments object stands, when it is written in one of the usual ways."""
    value = json.loads(arguments)
    for candidate in (
        arguments, json.dumps(value, ensure_ascii=False), json.dumps(value),
        json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    ):  # fmt: skip
        first = json_leaves(candidate)[0]
        start = own[0].shown[0] - first.places[0]
        if start >= 0 and text.startswith(candidate, start):
            return start, start + len(candidate)
    return None


def _refuse_marks(texts: Sequence[str]) -> None:
    if any(_MARKS.search(text) or str(_FIRST_NUMBER)[:6] in text for text in texts):
        raise ReplayRefused("unsupported", "the conversation uses the private characters needed to find places in it")


def _place(
    form: ChatForm, template: Template, plain: str, *, open_turn: bool, before: list[dict[str, Any]]
) -> list[Placed]:
    """Find the leaves in `plain`: all at once, else one by one."""

    def attempt(chosen: frozenset[int]) -> list[Placed] | None:
        values = [_mark(k, leaf) if k in chosen else leaf.value for k, leaf in enumerate(form.leaves)]
        try:
            marked = template.render(before + form.chat(values), open_turn=open_turn)
        except ReplayRefused:
            return None
        return _read_marks(marked, plain, form.leaves)

    everything = frozenset(range(len(form.leaves)))
    found = attempt(everything)
    if found is not None:
        return found
    single = [attempt(frozenset([k])) for k in sorted(everything)]
    return [placed for some in single if some for placed in some]


def _mark(number: int, leaf: Leaf) -> Any:
    value = leaf.value
    if isinstance(value, str):
        start, end = leaf.core
        mark = _FIRST_MARK + 2 * number
        return value[:start] + chr(mark) + value[start:end] + chr(mark + 1) + value[end:] if end > start else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _FIRST_NUMBER + number
    return value


_TOKEN = re.compile(f"[\U000f0000-\U000ffffd]|{str(_FIRST_NUMBER)[:6]}\\d{{9}}")


def _read_marks(marked: str, plain: str, leaves: Sequence[Leaf]) -> list[Placed] | None:
    """Take the marks out; None when the rest is not `plain`. A value shown twice, or not at all, has no place."""
    for style in (json.dumps, str):
        pieces: list[str] = []
        length, at = 0, 0
        starts: dict[int, list[tuple[int, int]]] = {}
        opened: dict[int, int] = {}
        for token in _TOKEN.finditer(marked):
            pieces.append(marked[at : token.start()])
            length += token.start() - at
            at = token.end()
            if len(token.group()) == 1:
                number, closing = divmod(ord(token.group()) - _FIRST_MARK, 2)
                if closing:
                    starts.setdefault(number, []).append((opened.get(number, length), length))
                else:
                    opened[number] = length
            else:
                number = int(token.group()) - _FIRST_NUMBER
                literal = style(leaves[number].value)
                starts.setdefault(number, []).append((length, length + len(literal)))
                pieces.append(literal)
                length += len(literal)
        if "".join([*pieces, marked[at:]]) == plain:
            found = [_shown(leaves[number], plain, *places[0]) for number, places in starts.items() if len(places) == 1]
            return [placed for placed in found if placed is not None]
    return None


def _shown(leaf: Leaf, plain: str, start: int, end: int) -> Placed | None:
    """Pair each character of a value with its place in the rendered text, through escapes and trimming."""
    seen = plain[start:end]
    if not isinstance(leaf.value, str):
        if len(seen) == len(leaf.places) - 1:
            return Placed(leaf=leaf, shown=tuple(range(start, end + 1)))
        return Placed(leaf=leaf, shown=(start,) * (len(leaf.places) - 1) + (end,))
    lead, stop = leaf.core
    core = leaf.value[lead:stop]
    tail = len(leaf.value) - stop
    for escaped in (core, json.dumps(core, ensure_ascii=False)[1:-1], json.dumps(core)[1:-1]):
        if escaped == seen:
            inner = tuple(range(start, end + 1)) if escaped == core else string_places(escaped, start)
            if len(inner) != len(core) + 1:
                return None
            kept_lead = plain[max(0, start - lead) : start] == leaf.value[:lead]
            kept_tail = plain[end : end + tail] == leaf.value[stop:]
            before = tuple(range(start - lead, start)) if kept_lead else (start,) * lead
            after = tuple(range(end + 1, end + tail + 1)) if kept_tail else (end,) * tail
            return Placed(leaf=leaf, shown=before + inner + after)
    return None
