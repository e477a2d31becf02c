"""Which run's words a request repeats: messages a call gave, its tool calls, its opaque tokens, its lines, its prompt.

Holds keys only (ids and digests of messages, tool calls, lines), never texts, each under (project, key).
"""

import json
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.records.canonical import content_id, sha256_hex
from auditor.records.messages import (
    Message,
    Other,
    PlacedMessage,
    Reasoning,
    Text,
    ToolCall,
    message_id,
    part_text,
    place,
)
from auditor.structure.inputs import Grade, Joined, RecordedCall
from auditor.structure.layout import arguments_form
from auditor.structure.retries import Table, seconds
from auditor.structure.traces import Settled

_SHORT_ID = 12
"""Tool-call ids shorter than this (`call_0`) repeat between runs; they join only under the same first user message."""
_MOST_ENDS = 256
"""Of runs that gave the very same message after the same ones, the newest that a later call may continue."""
_SHORT_TOKEN = 32
"""Shorter signatures are no proof of anything."""
_SHORT_WORDS = 40
"""Characters below which the same words may be anybody's (`I will look that up.`)."""
_SHORT_LINE = 60
MOST_LINES = 64
"""Of one text, that a later request may quote."""
_MOST_SOUGHT = 2000
"""Lines of one request that are looked for."""
_SHORT_TASK = 20
"""Characters below which a tool's argument is no task for another agent."""
_SAMPLED_WITHIN = 120.0
"""Seconds between the starts of two samples of one prompt."""


@dataclass
class _End:
    """A message some run's call gave, and how often a later request contained it."""

    run: str
    continued: int = field(default=0)


@dataclass
class _Sampled:
    """The latest call with a prompt that is sampled."""

    run: str
    started: float


class Echoes:
    """`find` a call's run, then `learn` the call. `table` makes the mappings that grow with what is recorded."""

    def __init__(self, table: Table, settled: Settled) -> None:
        self._settled = settled
        self._outputs: MutableMapping[tuple[str, str], list[str]] = table()
        """Message id → numbers of the ends that are it."""
        self._ends: MutableMapping[tuple[str, str], _End] = table(_End)
        self._end_count = 0
        self._inputs: MutableMapping[tuple[str, str], list[str]] = table()
        self._tools: MutableMapping[tuple[str, str], dict[str, str | None]] = table()
        self._tokens: MutableMapping[tuple[str, str], set[str]] = table()
        self._words: MutableMapping[tuple[str, str], set[str]] = table()
        """Digest of an output's words, or of one of its lines, or of a tool argument's → runs."""
        self._samples: MutableMapping[tuple[str, str], _Sampled] = table(_Sampled)

    def find(self, call: RecordedCall, placed: Sequence[PlacedMessage]) -> Joined | None:
        """By the table in threads, from `echoed_output` on; None where nothing is repeated."""
        project = call.project
        for one in reversed(placed):
            ends = self._outputs.get((project, one.id))
            if ends:
                return self._echoed(project, [self._ends["", number] for number in ends])
        owners = self._tool_owners(project, placed)
        if len(owners) == 1:
            return Joined(run=owners.pop(), grade="recorded", rule="tool_call_id")
        givers = {
            self._settled(project, run) for token in _tokens(placed) for run in self._tokens.get((project, token), ())
        }
        if len(givers) == 1:
            return Joined(run=givers.pop(), grade="recorded", rule="continuity_token")
        return None if owners else self._inferred(call, placed)

    def _inferred(self, call: RecordedCall, placed: Sequence[PlacedMessage]) -> Joined | None:
        project = call.project
        for before, one in zip(reversed(placed[:-1]), reversed(placed[1:]), strict=True):
            runs = {self._settled(project, run) for run in self._inputs.get((project, before.id), ())}
            if one.message.role == "assistant" and len(runs) == 1:
                return Joined(run=runs.pop(), grade="inferred", rule="shared_prefix")
        for rule, keys in (
            ("echoed_words", _spoken(placed)), ("tool_argument", _task(placed)), ("quoted_output", _quoted(placed)),
        ):  # fmt: skip
            for key in keys:
                runs = {self._settled(project, run) for run in self._words.get((project, key), ())}
                if len(runs) == 1:
                    return Joined(run=runs.pop(), grade="inferred", rule=rule)
        return self._sampled(call, placed)

    def _sampled(self, call: RecordedCall, placed: Sequence[PlacedMessage]) -> Joined | None:
        key, started = _prompt(call, placed), seconds(call)
        found = None if key is None else self._samples.get((call.project, key))
        if found is None or started is None or abs(started - found.started) > _SAMPLED_WITHIN:
            return None
        return Joined(run=self._settled(call.project, found.run), grade="inferred", rule="same_prompt")

    def learn(self, call: RecordedCall, placed: Sequence[PlacedMessage], root: str | None, run: str) -> None:
        """What later calls may repeat. `root` stands before the first message of the call."""
        project, said = call.project, call.call
        last = placed[-1].id if placed else root
        for one in placed:
            for number in self._outputs.get((project, one.id), ()):
                end = self._ends["", number]
                if self._settled(project, end.run) == self._settled(project, run):
                    end.continued += 1
        if placed:
            self._inputs.setdefault((project, placed[-1].id), []).append(run)
        for output in said.outputs:
            self._learn_output(project, output, last, run, _opening(placed))
        key, started = _prompt(call, placed), seconds(call)
        if key is not None and started is not None:
            self._samples[project, key] = _Sampled(run, started)

    def _learn_output(self, project: str, output: Message, last: str | None, run: str, opening: str | None) -> None:
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
                self._tools.setdefault((project, _tool_key(part)), {})[run] = opening
        for word in _given(output):
            self._words.setdefault((project, word), set()).add(run)

    def _echoed(self, project: str, ends: list[_End]) -> Joined:
        runs = {self._settled(project, end.run) for end in ends}
        chosen = min(ends, key=lambda end: end.continued)  # of equals the first
        grade: Grade = "recorded" if len(runs) == 1 else "inferred"
        return Joined(run=self._settled(project, chosen.run), grade=grade, rule="echoed_output")

    def _tool_owners(self, project: str, placed: Sequence[PlacedMessage]) -> set[str]:
        opening = _opening(placed)
        owners: set[str] = set()
        for one in placed:
            for part in one.message.parts:
                if isinstance(part, ToolCall) and part.call_id:
                    for run, first in self._tools.get((project, _tool_key(part)), {}).items():
                        if len(part.call_id) >= _SHORT_ID or first == opening:
                            owners.add(self._settled(project, run))
        return owners


def words(message: Message) -> str:
    """What a message says in text, without outer blanks; thinking and tool calls are left out."""
    return "\n".join(part.text for part in message.parts if isinstance(part, Text)).strip()


def lines(text: str, most: int) -> Iterator[str]:
    """Lines long enough to be nobody else's, without outer blanks and the marks of quotes and lists."""
    for line in text.splitlines()[:most]:
        own = line.strip().lstrip(">*-# ").rstrip()
        if len(own) >= _SHORT_LINE:
            yield own


def tasks(arguments: str) -> Iterator[str]:
    """Texts in a tool call's arguments that may be the task of another agent."""
    try:
        form = json.loads(arguments)
    except (ValueError, RecursionError):
        return
    for value in form.values() if isinstance(form, dict) else ():
        if isinstance(value, str) and len(value.strip()) >= _SHORT_TASK:
            yield value.strip()


def _key(kind: str, text: str) -> str:
    return sha256_hex(f"{kind}\0{text}".encode("utf-8", "surrogatepass"))


def _given(output: Message) -> Iterator[str]:
    own = words(output)
    if len(own) >= _SHORT_WORDS:
        yield _key("words", own)
    for line in lines(own, MOST_LINES):
        yield _key("line", line)
    for part in output.parts:
        if isinstance(part, ToolCall):
            for task in tasks(part.arguments):
                yield _key("task", task)


def _spoken(placed: Sequence[PlacedMessage]) -> Iterator[str]:
    """The newest first."""
    for one in reversed(placed):
        own = words(one.message) if one.message.role == "assistant" else ""
        if len(own) >= _SHORT_WORDS:
            yield _key("words", own)


def _task(placed: Sequence[PlacedMessage]) -> Iterator[str]:
    first = next((one.message for one in placed if one.message.role == "user"), None)
    own = words(first) if first is not None else ""
    if len(own) >= _SHORT_TASK:
        yield _key("task", own)


def _quoted(placed: Sequence[PlacedMessage]) -> Iterator[str]:
    left = _MOST_SOUGHT
    for one in placed:
        if one.message.role == "assistant":
            continue
        for part in one.message.parts:
            for line in lines(part_text(part), left):
                yield _key("line", line)
                left -= 1
        if left <= 0:
            return


def _prompt(call: RecordedCall, placed: Sequence[PlacedMessage]) -> str | None:
    """Key of a prompt that is sampled: a temperature was asked for, and no tool may be called."""
    temperature = call.call.settings.get("temperature")
    if not placed or call.call.tools or isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        return None
    if temperature <= 0 or placed[-1].message.role != "user":
        return None
    return content_id({"last": placed[-1].id, "model": call.asked or call.call.model, "who": call.joins.credential})


def _tool_key(part: ToolCall) -> str:
    return "\0".join((part.call_id or "", part.name, arguments_form(part.arguments)))


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
    return next((one.id for one in placed if one.message.role == "user"), None)
