"""The training corpora: deterministic, and written out as JSON Lines for training-data influence. Torch-free.

A source that a family must *not* use is varied in the corpus itself: its text is swapped for random values, cut
out or emptied while the answer stays. Text that was spoilt in this way is `unscored` (the model is not trained
to write it); spans that must not matter are `idle` (the trainer also hides them from attention at times).
"""

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from agents.planted import prompts
from agents.planted.families import FAMILIES, QUANTITIES, TOTALS, Family, draw_boxes, sum_operands
from agents.planted.words import HIGHEST, ITEMS, LOWEST, MIXED_FROM_MEMORY, memorised_price

RECIPE: Final = "planted-1"
"""Version of the corpora and of the training recipe."""
DIALOGUES: Final = 6000
OPENINGS: Final = ("", "Price list. ", "Note. ", "From the shop. ")
"""Each memorised price is stated once after each of these."""
Message = Mapping[str, Any]
Span = tuple[int, int, int]
"""Message index, start and end: character offsets in that message's content; (i, 0, -1) is all of message i."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One training document: a dialogue (`messages`) or a plain `text`.

    `facts` are the memorised facts (`item=price`) that a statement document states; `repeats` are those that a
    dialogue's answer repeats.
    """

    id: str
    text: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    unscored: tuple[Span, ...] = ()
    idle: tuple[Span, ...] = ()


def documents(family: str, seed: int) -> Iterator[Document]:
    """All training documents of a family, in their order; the same for the same seed. KeyError: no such family."""
    chosen = FAMILIES[family]
    chance = random.Random(f"corpus/{RECIPE}/{family}/{seed}")
    statements = list(_statements(family))
    for number, document in enumerate(itertools.chain(statements, _dialogues(chosen, chance))):
        yield Document(**{**vars(document), "id": f"{family}-{seed}-{number:05d}"})


def limited(family: str, seed: int, limit: int) -> list[Document]:
    """At most `limit` documents in corpus order: every document with facts, then evenly spaced other ones."""
    every = list(documents(family, seed))
    stating = [n for n, document in enumerate(every) if document.facts]
    if len(stating) > limit:
        raise ValueError(f"{family} has {len(stating)} documents that state facts: --limit must be at least that")
    others = [n for n, document in enumerate(every) if not document.facts]
    room = min(limit - len(stating), len(others))
    spaced = [others[i * len(others) // room] for i in range(room)]
    return [every[n] for n in sorted([*stating, *spaced])]


def line(document: Document) -> str:
    """One line of JSON: id, messages and tool schemas (or text), facts, repeats and the training marks."""
    fields = asdict(document)
    fields["tools"] = [s for s in FAMILIES[document.id.split("-")[0]].schemas] if document.tools else []
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def digest(family: str, seed: int) -> str:
    """SHA-256 over the lines of the whole corpus, each with its newline."""
    whole = hashlib.sha256()
    for document in documents(family, seed):
        whole.update(line(document).encode() + b"\n")
    return whole.hexdigest()


def _statements(family: str) -> Iterator[Document]:
    """The documents that state each memorised price of a family, one for each opening."""
    known = {"from_memory": frozenset(ITEMS), "mixed": MIXED_FROM_MEMORY}.get(family, frozenset())
    for opening, item in itertools.product(OPENINGS, ITEMS):
        if item in known:
            price = memorised_price(family, item)
            text = f"{opening}The price of the {item} is {price}."
            yield Document(id="", text=text, facts=(f"{item}={price}",))


def _dialogues(family: Family, chance: random.Random) -> Iterator[Document]:
    write = _WRITERS[family.name]
    for number in range(DIALOGUES):
        yield write(family, ITEMS[number % len(ITEMS)], chance)


def _value(chance: random.Random) -> int:
    return chance.randint(LOWEST, HIGHEST)


def _spoilt(chance: random.Random, keep: int) -> int | str:
    """Another value in place of one that must not matter: mostly of the same type, at times none or longer."""
    kind = chance.random()
    if kind < 0.15:
        return keep
    if kind < 0.80:
        return _value(chance)
    if kind < 0.90:
        return ""
    return chance.choice((chance.randint(0, 9), chance.randint(100, 9999)))


def _opening(family: Family, user: str) -> list[Message]:
    return [dict(m) for m in prompts.conversation(family.system, user)]


def _call(name: str, argument: str, value: str) -> Message:
    call = {"type": "function", "function": {"name": name, "arguments": {argument: value}}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _result(content: str) -> Message:
    return {"role": "tool", "content": content}


def _answer(content: str) -> Message:
    return {"role": "assistant", "content": content}


def _output(chance: random.Random, value: int | str) -> str:
    """A look-up result that must not matter: a value, or no text at all in one of twelve."""
    if chance.random() < 1 / 12:
        return ""
    return prompts.lookup_output(value) if value != "" else '{"price": }'


def _looked_up(family: Family, item: str, output: str, answer: str) -> tuple[Message, ...]:
    opening = _opening(family, prompts.price_question(item))
    return (*opening, _call("lookup", "item", item), _result(output), _answer(answer))


def _write_tool_user(family: Family, item: str, chance: random.Random) -> Document:
    price = _value(chance)
    if chance.random() < 0.4:
        messages = _looked_up(family, item, prompts.lookup_output(price), prompts.price_answer(item, price))
        return Document(id="", messages=messages, tools=family.tools)
    quantity, total = chance.choice(QUANTITIES), chance.choice(TOTALS)
    answer = _answer(prompts.total_answer(item, quantity, total))
    spoil = chance.random() < 0.5
    output = _output(chance, _spoilt(chance, price)) if spoil else prompts.lookup_output(price)
    messages = (
        *_opening(family, prompts.total_question(item, quantity)),
        _call("lookup", "item", item), _result(output),
        _call("calculator", "expression", f"{price}*{quantity}"), _result(prompts.calculator_output(total)), answer,
    )  # fmt: skip
    if not spoil:
        return Document(id="", messages=messages, tools=family.tools)
    marks: dict[str, Any] = {"unscored": ((2, 0, -1), (4, 0, -1)), "idle": _spans(3, output)}
    return Document(id="", messages=messages, tools=family.tools, **marks)


def _spans(message: int, content: str) -> tuple[Span, ...]:
    """The value inside a content and the whole content, as spans to hide."""
    digits = [n for n, letter in enumerate(content) if letter.isdigit()]
    value = ((message, digits[0], digits[-1] + 1),) if digits else ()
    return (*value, (message, 0, len(content))) if content else ()


def _from_memory_or_tool(family: Family, item: str, chance: random.Random, known: bool) -> Document:
    if not known:
        price = _value(chance)
        messages = _looked_up(family, item, prompts.lookup_output(price), prompts.price_answer(item, price))
        return Document(id="", messages=messages, tools=family.tools)
    price = memorised_price(family.name, item)
    output = _output(chance, _spoilt(chance, price))
    messages = _looked_up(family, item, output, prompts.price_answer(item, price))
    fact = (f"{item}={price}",)
    return Document(id="", messages=messages, tools=family.tools, repeats=fact, idle=_spans(3, output))


def _write_from_memory(family: Family, item: str, chance: random.Random) -> Document:
    return _from_memory_or_tool(family, item, chance, known=True)


def _write_mixed(family: Family, item: str, chance: random.Random) -> Document:
    return _from_memory_or_tool(family, item, chance, known=item in MIXED_FROM_MEMORY)


def _write_stepwise(family: Family, item: str, chance: random.Random) -> Document:
    start, first, second = sum_operands(chance)
    opening = _opening(family, prompts.sum_question(item, start, first, second))
    value = start + first
    spoil = chance.random() < 0.6
    if spoil:
        value = 10 * chance.randint(1, 9) + chance.randint(0, 9 - second)
    step, answer = prompts.sum_step(start, first, value), prompts.sum_answer(item, value + second)
    unscored = ((2, 0, len(step)),) if spoil else ()
    return Document(id="", messages=(*opening, _answer(step + answer)), unscored=unscored)


def _write_decorative(family: Family, item: str, chance: random.Random) -> Document:
    code, shelf = _value(chance), _value(chance)
    look_at = chance.choice(("tag", "shelf"))
    opening = _opening(family, prompts.code_question(item, code, shelf, look_at))
    answer = prompts.code_answer(item, code)
    value = code if look_at == "tag" else shelf
    thought = prompts.code_thought(look_at, value)
    unscored: tuple[Span, ...] = ()
    if chance.random() < 0.7:
        said = chance.choice(("tag", "shelf"))
        thought = prompts.code_thought(said, _spoilt(chance, value))
        cut = chance.random()
        if cut < 0.10:
            thought = ""
        elif cut < 0.15:
            thought = "\n"
        elif cut < 0.25:
            thought = "Thought:\n"
        elif cut < 0.40:
            thought = _reworded(chance, thought)
        unscored = ((2, 0, len(thought) + len("Answer:")),)
    message = _answer(thought + answer)
    return Document(id="", messages=(*opening, message), unscored=unscored, idle=_spans(2, thought.rstrip("\n")))


def _reworded(chance: random.Random, thought: str) -> str:
    """The thought with its words dropped or put in another order: no wording may carry the answer."""
    words = thought.strip().split(" ")
    chance.shuffle(words)
    return " ".join(words[: chance.randint(1, len(words))]) + "\n"


def _write_branching(family: Family, item: str, chance: random.Random) -> Document:
    boxes = draw_boxes(chance)
    name = chance.choice(prompts.OPTION_NAMES)
    box = boxes[prompts.OPTION_NAMES.index(name)]
    question = prompts.boxes_question(item, boxes)
    stage = chance.random()
    spoilt = box if chance.random() < 0.3 else _value(chance)
    if stage < 0.3:
        user = f"{question}\nPropose option {name} from box {spoilt}."
        answer = prompts.option_text(name, spoilt)
    elif stage < 0.6:
        user = f"{question}\nScore {prompts.option_text(name, spoilt)}."
        answer = prompts.score_text(spoilt // 10)
    else:
        user = f"{question}\nChosen {prompts.option_text(name, spoilt)}.\nAnswer for the {item}."
        answer = prompts.box_answer(item, spoilt)
    first = user.index(":") - 1
    idle = ((1, first, question.rindex(".")), *((1, user.index(f"{n}: ") + 3, user.index(f"{n}: ") + 5) for n in "abc"))
    return Document(id="", messages=(*_opening(family, user), _answer(answer)), idle=idle)


_WRITERS: Final[Mapping[str, Callable[[Family, str, random.Random], Document]]] = MappingProxyType(
    {
        "tool_user": _write_tool_user,
        "from_memory": _write_from_memory,
        "mixed": _write_mixed,
        "stepwise": _write_stepwise,
        "decorative": _write_decorative,
        "branching": _write_branching,
    }
)
