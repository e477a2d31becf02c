"""Documents cut out of tool results and prompts, and the citations of answers resolved to them.

Documents, first rule that finds any in a text:

json_item    objects of a JSON array with a text field (text, content, page_content, snippet, passage, chunk, body), no
             chat messages and no content parts; name from id, title, url, source…; score from score, similarity…
tag          `<document …>…</document>` (also doc, source, passage, context, search_result); name from its attributes or
             from `<source>`, `<title>` inside
numbered     `[1] title` or `Document 1:` at the start of lines
source_line  `Source: name` at the start of a line and the text before the next one

Citations: `[1]`, `[1, 2]`, `[1-3]`, `【1†…】`, `[name]`, `(source: name)`, `(Doe 2020)`; annotations that the provider
sent with the text (Anthropic citations, OpenAI annotations). A number is resolved to the document with that number,
else to the one of that rank in the latest retrieval. Where no document was recorded, numbers in brackets are no
citations.

Not seen: documents told in prose, footnotes, documents that were retrieved but not shown (spans may say those).
Nothing is fetched. Every text is walked once; at most 1,000 documents and citations of one step.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from auditor.records.canonical import content_id, sha256_hex
from auditor.records.messages import Span, Text, part_text
from auditor.records.structure import Citation, Document, Step
from auditor.structure.layout import Layout
from auditor.structure.texts import sentences
from auditor.structure.values import Offsets, Value

_MOST = 1000
_MOST_SEARCHED = 200
"""Latest documents that a quotation or an author is looked for in."""
_LONGEST_RANGE = 20
_LONGEST_NUMBER = 3
_CONTENT = ("page_content", "content", "text", "snippet", "passage", "chunk", "body")
_NAMES = ("title", "name", "id", "doc_id", "document_id", "source", "url", "link", "uri", "path", "file", "filename")
_SCORES = ("score", "similarity", "relevance", "relevance_score", "rerank_score")
_TAG = re.compile(
    r"<(?P<tag>document|doc|source|passage|context|search_result)\b(?P<with>[^<>]{0,300})>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"(?P<key>[\w-]{1,30})\s{0,3}=\s{0,3}[\"'](?P<value>[^\"'<>]{0,200})[\"']")
_INSIDE = re.compile(r"<(?P<tag>source|title|name|url|id)>(?P<value>[^<>]{1,300})</(?P=tag)>", re.IGNORECASE)
_CONTENTS = re.compile(r"<(?P<tag>document_contents?|content|text)>", re.IGNORECASE)
_NUMBERED = re.compile(
    r"^[ \t]{0,4}(?:\[(?P<n>\d{1,3})\]|(?:document|doc|passage|result|source|context)[ \t]#?(?P<k>\d{1,3})[ \t]*:)"
    r"[ \t]*(?P<rest>[^\n]{0,300})$",
    re.MULTILINE | re.IGNORECASE,
)
_SOURCE = re.compile(r"^[ \t]{0,4}source[ \t]{0,3}:[ \t]*(?P<name>[^\n]{1,200})$", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(r"(?:title|source|name)[ \t]*:[ \t]*(?P<name>[^\n,;)]{1,200})", re.IGNORECASE)
_MARK = re.compile(
    r"(?i:\[(?P<numbers>\d{1,3}(?:\s{0,2}[,;–-]\s{0,2}\d{1,3}){0,20})\](?!\()"
    r"|【(?P<lens>\d{1,3})(?::\d{1,3})?†[^】\n]{0,80}】"
    r"|[(\[](?:source|see|from|ref)\s{0,2}:?\s{1,2}(?P<source>[^()\[\]\n]{1,120})[)\]]"
    r"|\[(?P<name>[^\[\]\n]{2,120})\](?!\())"
    r"|\((?P<author>[A-Z][\w'’-]{1,40})(?: et al\.?| and [A-Z][\w'’-]{1,40})?,? (?P<year>(?:19|20)\d\d)[a-z]?\)"
)


@dataclass(frozen=True, kw_only=True)
class _Found:
    start: int
    """Characters of the step's text, for texts; bytes of the part for JSON fields."""
    end: int
    name: str | None
    text: str
    rule: str
    score: float | None = None
    number: int | None = None
    pointer: str | None = None


@dataclass
class Shelf:
    """Documents in the order of the run, with what they may be called."""

    documents: list[Document] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    _numbered: dict[int, Document] = field(default_factory=dict)
    _latest: list[Document] = field(default_factory=list)
    _named: dict[str, Document] = field(default_factory=dict)

    def add(self, found: Sequence[tuple[Document, str, int | None]]) -> None:
        """Documents of one step."""
        for document, text, number in found:
            self.documents.append(document)
            self.texts[document.id] = text
            if number is not None:
                self._numbered[number] = document
            if document.name:
                self._named[_plain(document.name)] = document
                self._named.setdefault(_plain(document.name.rsplit("/", 1)[-1]), document)
        if found:
            self._latest = [document for document, _, _ in found]

    def number(self, number: int) -> Document | None:
        if number in self._numbered:
            return self._numbered[number]
        return self._latest[number - 1] if not self._numbered and 0 < number <= len(self._latest) else None

    def rank(self, index: int) -> Document | None:
        """Of the latest retrieval; from 0."""
        return self._latest[index] if 0 <= index < len(self._latest) else None

    def name(self, name: str) -> Document | None:
        """By its whole name, or the part before a page or section."""
        return self._named.get(_plain(name)) or self._named.get(_plain(re.split(r"[,;#]| p\.| page ", name)[0]))

    def author(self, author: str, year: str) -> Document | None:
        for document in self.documents[: -_MOST_SEARCHED - 1 : -1]:
            head = f"{document.name or ''} {self.texts[document.id][:300]}"
            if author.casefold() in head.casefold() and year in head:
                return document
        return None

    def quoted(self, text: str) -> Document | None:
        """The latest document that holds a quotation word for word."""
        wanted = text.strip()
        latest = self.documents[: -_MOST_SEARCHED - 1 : -1]
        return next((one for one in latest if wanted and wanted in self.texts[one.id]), None)


def retrieve(layout: Layout) -> tuple[list[Document], list[Citation]]:
    """Documents of a run and the citations of what the model wrote, in the order of the run."""
    shelf = Shelf()
    citations: list[Citation] = []
    annotated: set[tuple[str, int]] = set()
    for step in layout.steps:
        if step.span is None:
            continue
        if step.kind in ("tool_result", "prompt"):
            shelf.add(_documents(layout, step))
        elif step.call is not None and step.kind in ("answer", "thought", "branch"):
            part = layout.message(step.span.message).parts[step.span.part]
            if not isinstance(part, Text):
                continue
            citations += _marks(layout, step, shelf)
            key = (step.span.message, step.span.part)
            if key not in annotated and part.extra:
                annotated.add(key)
                citations += _annotations(part, *key, shelf)
    return shelf.documents, citations


def _documents(layout: Layout, step: Step) -> list[tuple[Document, str, int | None]]:
    if step.span is None:
        return []
    text = layout.text(step.span)
    in_json = list(_json_items(layout.values_of(step.span)))[:_MOST]
    found = in_json or _in_text(text, whole=step.kind == "tool_result")[:_MOST]
    offsets = Offsets(text)
    made = []
    for rank, one in enumerate(found):
        start, end = (one.start, one.end) if one.pointer else (
            step.span.start + offsets[one.start], step.span.start + offsets[one.end])  # fmt: skip
        span = Span(message=step.span.message, part=step.span.part, start=start, end=end, pointer=one.pointer)
        document = Document(
            id=content_id({"step": step.id, "span": vars(span)}), step=step.id, span=span, name=one.name,
            digest=sha256_hex(one.text.encode(errors="surrogatepass")), score=one.score, rank=rank, rule=one.rule,
        )  # fmt: skip
        made.append((document, one.text, one.number))
    return made


def _json_items(values: Sequence[Value]) -> Iterator[_Found]:
    """Objects of JSON arrays that hold a text."""
    objects: dict[str, dict[str, Value]] = {}
    for value in values:
        parent, _, name = (value.pointer or "").rpartition("/")
        if not name:
            continue
        outer, _, own = parent.rpartition("/")
        if own in ("metadata", "document") and outer.rpartition("/")[2].isdigit():
            parent, name = outer, name if own == "document" else f"metadata/{name}"
        if parent.rpartition("/")[2].isdigit():
            known = objects.setdefault(parent, {})
            if name not in known or known[name].end - known[name].start < value.end - value.start:
                known[name] = value
    for fields in objects.values():
        content = next((fields[name] for name in _CONTENT if name in fields and fields[name].number is None), None)
        if content is None or "role" in fields or ("type" in fields and fields["type"].text in ("text", "output_text")):
            continue
        scores = [fields[name] for name in _both(_SCORES) if name in fields and fields[name].number is not None]
        names = [fields[name].text for name in _both(_NAMES) if name in fields and fields[name] is not content]
        yield _Found(
            start=content.start, end=content.end, name=names[0] if names else None, text=content.text,
            rule="json_item", score=float(scores[0].number or 0) if scores else None, pointer=content.pointer,
        )  # fmt: skip


def _both(names: Sequence[str]) -> list[str]:
    return [*names, *(f"metadata/{name}" for name in names)]


def _in_text(text: str, *, whole: bool) -> list[_Found]:
    return _tagged(text) or _blocks(text, _NUMBERED, whole=whole) or _blocks(text, _SOURCE, whole=whole)


def _tagged(text: str) -> list[_Found]:
    found: list[_Found] = []
    for hit, until in _closed(text):
        inner = text[hit.end() : until]
        attributes = {one["key"].casefold(): one["value"] for one in _ATTRIBUTE.finditer(hit["with"])}
        inside = {one["tag"].casefold(): one["value"].strip() for one in _INSIDE.finditer(inner[:2000])}
        opened = _CONTENTS.search(inner)
        closed = inner.rfind(f"</{opened['tag']}>") if opened else -1
        start, end = (opened.end(), closed) if opened and closed >= opened.end() else (0, len(inner))
        start, end = _strip(text, hit.end() + start, hit.end() + end)
        number = attributes.get("index", attributes.get("n", attributes.get("id", "")))
        named = [*(attributes[key] for key in _NAMES if key in attributes), *inside.values()]
        if start < end:
            plain = number.isdecimal() and len(number) <= _LONGEST_NUMBER
            found.append(_Found(start=start, end=end, name=named[0] if named else None, text=text[start:end],
                                rule="tag", number=int(number) if plain else None))  # fmt: skip
    return found


def _closed(text: str) -> Iterator[tuple["re.Match[str]", int]]:
    """Opening tags with where their element ends; what is inside an element is not looked at again."""
    without: set[str] = set()
    at = 0
    for hit in _TAG.finditer(text):
        tag = hit["tag"].casefold()
        if hit.start() < at or tag in without:
            continue
        end = re.compile(f"</{tag}>", re.IGNORECASE).search(text, hit.end())
        if end is None:
            without.add(tag)
            continue
        at = end.end()
        yield hit, end.start()


def _blocks(text: str, pattern: "re.Pattern[str]", *, whole: bool) -> list[_Found]:
    """Blocks between marks at line starts; the last ends with its paragraph, or with a tool result's text."""
    marks = list(pattern.finditer(text))[:_MOST]
    numbered = pattern is _NUMBERED
    if numbered and (not marks or [int(one["n"] or one["k"]) for one in marks][0] > 1):
        return []
    found = []
    for at, hit in enumerate(marks):
        last = at + 1 == len(marks)
        until = len(text) if last else marks[at + 1].start()
        if last and not whole:
            blank = text.find("\n\n", hit.end())
            until = blank if blank >= 0 else until
        rest = hit["rest"].strip(" *\t") if numbered else hit["name"].strip()
        start, end = _strip(text, hit.end(), until)
        named = _LABEL.search(rest)
        name = named["name"].strip() if named else rest or None
        if start >= end and numbered:  # one line: the text stands behind the mark
            start, end = _strip(text, hit.start("rest"), until)
            name = None
        if start < end:
            found.append(_Found(
                start=start, end=end, name=name, text=text[start:end], rule="numbered" if numbered else "source_line",
                number=int(hit["n"] or hit["k"]) if numbered else None,
            ))  # fmt: skip
    return found


def _marks(layout: Layout, step: Step, shelf: Shelf) -> list[Citation]:
    if step.span is None or not shelf.documents:
        return []
    text = layout.text(step.span)
    offsets = Offsets(text)
    bounds = _bounds(sentences(text))
    citations: list[Citation] = []
    for hit in _MARK.finditer(text):
        if len(citations) >= _MOST:
            break
        span = Span(message=step.span.message, part=step.span.part, start=step.span.start + offsets[hit.start()],
                    end=step.span.start + offsets[hit.end()])  # fmt: skip
        sentence = _sentence(step.span, bounds, offsets[hit.start()])
        for document, rule in _resolved(hit, shelf):
            citations.append(Citation(mark=span, sentence=sentence, document=document, rule=rule))
    return citations


def _resolved(hit: "re.Match[str]", shelf: Shelf) -> Iterator[tuple[str | None, str]]:
    """(Document id, rule) of each thing a mark names; nothing for brackets that name no document."""
    if hit["numbers"] or hit["lens"]:
        for number in _numbers(hit["numbers"] or hit["lens"]):
            found = shelf.number(number)
            yield found.id if found else None, "number"
    elif hit["source"]:
        found = shelf.name(hit["source"])
        yield found.id if found else None, "source"
    elif hit["name"]:
        if (found := shelf.name(hit["name"])) is not None:
            yield found.id, "name"
    elif (found := shelf.author(hit["author"], hit["year"])) is not None:
        yield found.id, "author_year"


def _numbers(text: str) -> list[int]:
    """`1, 3-5` as numbers; a range of more than 20 is its ends."""
    found: list[int] = []
    for piece in re.split(r"[,;]", text):
        ends = [int(one) for one in re.findall(r"\d+", piece)]
        if len(ends) > 1 and 0 < ends[-1] - ends[0] <= _LONGEST_RANGE:
            found += range(ends[0], ends[-1] + 1)
        else:
            found += ends
    return found


def _annotations(part: Text, message: str, index: int, shelf: Shelf) -> list[Citation]:
    """What the provider said the text cites."""
    text = part_text(part)
    offsets = Offsets(text)
    bounds = _bounds(sentences(text))
    whole = Span(message=message, part=index, start=0, end=offsets[len(text)])
    citations = []
    for one in _listed(part.extra, "citations"):
        document = _named_by(one, shelf)
        citations.append(Citation(mark=whole, sentence=whole, document=document, rule="provider_citation"))
    for one in _listed(part.extra, "annotations"):
        inner = one.get("url_citation") if isinstance(one.get("url_citation"), Mapping) else one
        if not isinstance(inner, Mapping):
            continue
        start, end = inner.get("start_index", inner.get("index")), inner.get("end_index", inner.get("index"))
        if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(text):
            continue
        mark = Span(message=message, part=index, start=offsets[start], end=offsets[end])
        sentence = _sentence(whole, bounds, max(0, offsets[start] - (start == end)))
        citations.append(Citation(mark=mark, sentence=sentence, document=_named_by(inner, shelf),
                                  rule="provider_annotation"))  # fmt: skip
    return citations[:_MOST]


def _named_by(one: Mapping[str, object], shelf: Shelf) -> str | None:
    for key in ("document_title", "title", "url", "source", "filename", "file_id"):
        value = one.get(key)
        if isinstance(value, str) and (found := shelf.name(value)) is not None:
            return found.id
    quoted = one.get("cited_text")
    if isinstance(quoted, str) and (found := shelf.quoted(quoted)) is not None:
        return found.id
    rank = one.get("document_index", one.get("search_result_index"))
    found = shelf.rank(rank) if type(rank) is int else None
    return found.id if found is not None else None


def _listed(extra: Mapping[str, object] | None, key: str) -> list[Mapping[str, object]]:
    value = (extra or {}).get(key)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def _bounds(own: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Starts and ends of sentences."""
    return [start for start, _ in own], [end for _, end in own]


def _sentence(outer: Span, bounds: tuple[list[int], list[int]], at: int) -> Span:
    """The sentence at a byte; a mark that begins one, behind a stop, belongs to the sentence before it."""
    index = bisect_right(bounds[0], at) - 1
    if index < 0:
        return outer
    if bounds[0][index] == at and index > 0:
        index -= 1
    start, end = bounds[0][index], bounds[1][index]
    return Span(message=outer.message, part=outer.part, start=outer.start + start, end=outer.start + end)


def _plain(name: str) -> str:
    return " ".join(name.casefold().strip(" \"'*.").split())


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
