"""Words, signs and tags by which authors divide a text themselves: steps, thoughts, actions, answers.

Known: English, Russian, Chinese, Arabic and Hindi words of chain-of-thought prompts; the lines of ReAct (Yao et al.,
2022, arXiv:2210.03629); `#### 7` and `A: 7` at the end of worked examples; `\\boxed{7}`; tags around reasoning. All
places are characters of the text. A word is a mark at the start of a line or behind a sentence, before a colon, or
alone on a line as a heading.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from auditor.structure.blocks import Blocks, Range, closed_fences
from auditor.structure.sentences import strip

MarkKind = Literal["step", "thought", "action", "answer"]

_WORDS = re.compile(
    r"(?P<step>(?:step|шаг|चरण|الخطوة|خطوة)\s{1,3}\d{1,4}|步骤\s?\d{1,4}|第\s?[\d一二三四五六七八九十]{1,3}\s?步)"
    r"|(?:(?P<thought>thought|reasoning|мысль|рассуждение|思考|推理|思路|فكرة|التفكير|विचार)"
    r"|(?P<action>action(?:\s{1,3}input)?|observation|действие|наблюдение|行动输入|行动|动作|观察|الإجراء|الملاحظة"
    r"|कार्रवाई|अवलोकन)"
    r"|(?P<answer>(?:the\s{1,3})?(?:final\s{1,3})?answer|(?:окончательный\s{1,3})?ответ|最终答案|答案"
    r"|الإجابة(?:\s{1,3}النهائية)?|الجواب|(?:अंतिम\s{1,3})?उत्तर))(?:\s{1,3}\d{1,4})?",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^[ \t]{0,3}(?:#{1,6}[ \t]{1,3}|\*\*|__)(?P<word>[^\n#*_:：]{2,40}?)(?:\*\*|__|[ \t]{0,3}#{1,6})?[ \t]{0,3}$",
    re.MULTILINE,
)
_CLOSING = re.compile(
    r"(?:(?<=\s)|\A)(?P<mark>####[ \t]{0,3}(?=[^\s#])(?=[^\n]{1,60}\Z)"
    r"|A:[ \t]{0,3}(?=[-−$€£¥₹]{0,2}\.?\d[\d,./]{0,40}%?\.?\Z))"
)
_LEAD = " \t>*_#-"
_STOPS = "\n\r.!?。！？।؟"
_FARTHEST = 64
"""Characters before a colon in which its word and what leads up to it must stand."""
_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>think|thinking|reasoning|thought|thoughts|scratchpad|reflection|answer)>", re.IGNORECASE
)
_BOXED = re.compile(r"\\f?boxed\s{0,3}\{|\\fbox\s{0,3}\{")
_SAYS = re.compile(
    r"\banswer\s{1,3}(?:is|would be|must be)\b|\bответ(?:ом является|\s{0,3}[:—–-])|答案[是为為]"
    r"|(?:الإجابة|الجواب)\s{1,3}(?:هي|هو)|उत्तर\s{1,3}(?:है|\d)",
    re.IGNORECASE,
)
_ENOUGH = 100
"""A first paragraph up to this many characters that holds a value is the whole answer."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An author's own division: `start` is where what leads up to the word begins, `at` the word, `end` behind it."""

    kind: MarkKind
    word: str
    start: int
    at: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """A pair of tags with what stands in it; the opening one may stand in the prompt, the closing one be missing."""

    name: str
    start: int
    end: int
    inner: Range


def marks(text: str, begin: int, end: int, kept: Blocks) -> list[Mark]:
    """Marks between two places, in order; none within a block."""
    found = {one.at: one for one in _closing(text, begin, end)}
    if "#" in text or "**" in text or "__" in text:
        found |= {one.at: one for one in _headings(text, begin, end)}
    found |= {one.at: one for one in _colons(text, begin, end)}
    return [found[at] for at in sorted(found) if kept.around(at + 1) is None]


def tagged(text: str) -> list[Tagged]:
    """Tags around reasoning and answers, in order and not nested. Tags in closed code are text."""
    if "<" not in text:
        return []
    code = closed_fences(text)
    found: list[Tagged] = []
    opened: re.Match[str] | None = None
    at = 0
    for tag in _TAG.finditer(text):
        if code and code.around(tag.start() + 1) is not None:
            continue
        name = tag["name"].casefold()
        if opened is None and not tag["close"]:
            opened = tag
        elif opened is None and not found and name != "answer":
            found.append(Tagged(name=name, start=0, end=tag.end(), inner=(0, tag.start())))
            at = tag.end()
        elif opened is not None and tag["close"] and name == opened["name"].casefold():
            found.append(Tagged(name=name, start=opened.start(), end=tag.end(), inner=(opened.end(), tag.start())))
            opened, at = None, tag.end()
    if opened is not None and not text[at : opened.start()].strip():
        found.append(
            Tagged(name=opened["name"].casefold(), start=opened.start(), end=len(text),
                   inner=(opened.end(), len(text)))
        )  # fmt: skip
    return found


def answer_end(text: str, start: int, until: int, kept: Blocks) -> int:
    """Where the answer behind a mark ends: at a blank line, unless what stands before it only leads up to the rest."""
    at = start
    while (line := text.find("\n\n", at, until)) >= 0:
        first = text[start:line].strip()
        whole = kept.around(line)
        if whole is not None:
            at = whole[1]
        elif not first or first.endswith((":", "：")):
            at = line + 2
        else:
            return line if len(first) <= _ENOUGH and any(map(str.isdigit, first)) or len(first) <= 30 else until
    return until


def stated_answer(text: str, parts: Sequence[Range]) -> tuple[int, str] | None:
    """Which of these parts states the answer: the last with a box, else the last that says "the answer is"."""
    for at in range(len(parts) - 1, -1, -1):
        if _BOXED.search(text, *parts[at]) is not None:
            return at, "boxed"
    for at in range(len(parts) - 1, -1, -1):
        if _SAYS.search(text, *parts[at]) is not None and not text[parts[at][0] : parts[at][1]].endswith(("?", "？")):
            return at, ""
    return None


def decided(text: str) -> Range | None:
    """The part of an answer that decides: what is boxed, else what stands behind "the answer is"; None for neither."""
    boxes = [box.end() for box in _BOXED.finditer(text)]
    if boxes:
        return boxes[-1], _brace(text, boxes[-1])
    says = _SAYS.search(text)
    if says is None:
        return None
    start, end = says.end(), len(text)
    while start < end and (text[start].isspace() or text[start] in ":：*_"):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in ".!。！।*_"):
        end -= 1
    return (start, end) if start < end else None


def _brace(text: str, start: int) -> int:
    """Where the group that began before `start` ends."""
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    return len(text)


def _colons(text: str, begin: int, end: int) -> Iterator[Mark]:
    for colon in re.finditer("[:：]", text[begin:end]):
        at = begin + colon.start()
        mark = _before_colon(text, begin, at)
        if mark is not None:
            until = at + 1
            while until < end and text[until] in "*_":
                until += 1
            yield Mark(kind=mark[0], word=mark[1], start=mark[2], at=mark[3], end=until)


def _before_colon(text: str, begin: int, colon: int) -> tuple[MarkKind, str, int, int] | None:
    from_ = max(begin, colon - _FARTHEST)
    head = text[from_:colon]
    stop = max(head.rfind(one) for one in _STOPS)
    if stop < 0 and from_ > begin:
        return None
    bare = head[stop + 1 :].rstrip("*_ \t")
    word = bare.lstrip(_LEAD)
    hit = _WORDS.fullmatch(word)
    if hit is None:
        return None
    return _kind(hit), " ".join(word.casefold().split()), from_ + stop + 1, from_ + stop + 1 + len(bare) - len(word)


def _headings(text: str, begin: int, end: int) -> Iterator[Mark]:
    for line in _HEADING.finditer(text, begin, end):
        hit = _WORDS.fullmatch(line["word"].strip())
        if hit is not None:
            word = " ".join(hit[0].casefold().split())
            yield Mark(kind=_kind(hit), word=word, start=line.start(), at=line.start("word"), end=line.end())


def _closing(text: str, begin: int, end: int) -> Iterator[Mark]:
    """The short line that ends a worked example."""
    _, tail = strip(text, begin, end)
    for hit in list(_CLOSING.finditer(text, max(begin, tail - 80), tail))[-1:]:
        yield Mark(kind="answer", word="answer", start=hit.start("mark"), at=hit.start("mark"), end=hit.end("mark"))


def _kind(hit: "re.Match[str]") -> MarkKind:
    kind = hit.lastgroup
    return kind if kind in ("step", "thought", "action", "answer") else "thought"  # type: ignore[return-value]


__all__ = ["Mark", "Tagged", "answer_end", "decided", "marks", "stated_answer", "tagged"]
