"""Documents are cut out where they stand, and citations name them."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from auditor.records.canonical import sha256_hex
from auditor.records.messages import Text

Made = Callable[..., Any]

ITEMS = [
    {"id": "kb-1", "title": "Returns", "text": "Returns are free for 30 days.\nMugs: 14 days.", "score": 0.91},
    {"id": "kb-2", "title": "Shipping", "text": "Shipping costs $12, takes 45 hours.", "score": 0.4},
]


def searched(runs: ModuleType, made: Made, result: str, *answer: Any) -> Any:
    first = [runs.said("user", "How long may I return it, and what is shipping?")]
    asked = runs.said("assistant", runs.asks("call-s-0000000", "search", {"query": "returns"}))
    then = [*first, asked, runs.gave("call-s-0000000", "search", result)]
    return made([runs.recorded(0, first, asked, run="r"), runs.recorded(1, then, runs.said("assistant", *answer),
                                                                        run="r")])  # fmt: skip


def prompted(runs: ModuleType, made: Made, prompt: str, *answer: Any) -> Any:
    return made([runs.recorded(0, [runs.said("user", prompt)], runs.said("assistant", *answer), run="r")])


def documents(run: Any) -> list[tuple[str | None, str, float | None, str]]:
    return [(one.name, run.text(one.span), one.score, one.rule) for one in run.structure.documents]


def cited(run: Any) -> list[tuple[str, str, str | None]]:
    names = {one.id: one.name for one in run.structure.documents}
    return [
        (run.text(one.mark), run.text(one.sentence), names.get(one.document)) for one in run.structure.citations
    ]  # fmt: skip


def test_documents_of_a_json_result_keep_name_score_rank_and_digest(runs: ModuleType, made: Made) -> None:
    run = searched(runs, made, json.dumps(ITEMS), "Thirty days.")
    assert documents(run) == [
        ("Returns", r"Returns are free for 30 days.\nMugs: 14 days.", 0.91, "json_item"),
        ("Shipping", "Shipping costs $12, takes 45 hours.", 0.4, "json_item"),
    ]
    first, second = run.structure.documents
    assert (first.rank, second.rank) == (0, 1) and first.span.pointer == "/0/text"
    assert first.digest == sha256_hex(str(ITEMS[0]["text"]).encode())  # of the text, not of its JSON escapes


def test_langchain_documents_and_what_is_no_document(runs: ModuleType, made: Made) -> None:
    items = [{"page_content": "Alpha is 77.", "metadata": {"source": "a.md", "score": 2}}]
    assert documents(searched(runs, made, json.dumps({"documents": items}), "77.")) == [
        ("a.md", "Alpha is 77.", 2.0, "json_item")
    ]
    chat = [{"role": "user", "content": "Hello there"}, {"type": "text", "text": "A content part"}]
    assert documents(searched(runs, made, json.dumps(chat), "Nothing.")) == []
    assert documents(searched(runs, made, '["a", "b"]', "Nothing.")) == []


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("[1] Handbook\nThe code is QX71.\n\n[2] Notes\nIt was QX70.\n\nWhat is the code?",
         [("Handbook", "The code is QX71."), ("Notes", "It was QX70.")]),
        ('<documents><document index="1"><source>a.md</source><document_content>Alpha é 77.</document_content>'
         "</document></documents> What is alpha?", [("a.md", "Alpha é 77.")]),
        ('<doc title="T">Some text</doc>', [("T", "Some text")]),
        ("Source: a.md\nAlpha is 77.\n\nSource: b.md\nBeta is 88.\n\nWhat is beta?",
         [("a.md", "Alpha is 77."), ("b.md", "Beta is 88.")]),
        ("In [3] of the list, and see [4] there.", []),
        ("<doc>never closed", []),
    ],
)  # fmt: skip
def test_documents_of_a_prompt(runs: ModuleType, made: Made, prompt: str, found: list[tuple[str, str]]) -> None:
    run = prompted(runs, made, prompt, "I see.")
    assert [(name, text) for name, text, _, _ in documents(run)] == found


def test_numbers_names_and_sources_are_resolved(runs: ModuleType, made: Made) -> None:
    run = searched(runs, made, json.dumps(ITEMS),
                   "It is 30 days [1]. Shipping is $12 (source: Shipping). See [7]. Both hold. [1, 2]")  # fmt: skip
    assert cited(run) == [
        ("[1]", "It is 30 days [1].", "Returns"),
        ("(source: Shipping)", "Shipping is $12 (source: Shipping).", "Shipping"),
        ("[7]", "See [7].", None),
        ("[1, 2]", "Both hold.", "Returns"), ("[1, 2]", "Both hold.", "Shipping"),
    ]  # fmt: skip


def test_without_documents_brackets_are_no_citations(runs: ModuleType, made: Made) -> None:
    assert cited(prompted(runs, made, "Which index?", "Take a[1] and [2].")) == []
    run = searched(runs, made, json.dumps(ITEMS), "See [1](https://example.org).")
    assert cited(run) == []  # a link


def test_annotations_of_providers(runs: ModuleType, made: Made) -> None:
    said = Text(text="Takes 45 hours.", extra={"citations": [{"type": "char_location", "document_index": 1,
                                                             "cited_text": "takes 45 hours"}]})  # fmt: skip
    assert cited(searched(runs, made, json.dumps(ITEMS), said)) == [("Takes 45 hours.", "Takes 45 hours.", "Shipping")]
    link = Text(text="Ωmega. It is 30 days here.", extra={"annotations": [
        {"type": "url_citation", "start_index": 13, "end_index": 20, "url": "u", "title": "Returns"},
        {"start_index": 99},
    ]})  # fmt: skip
    assert cited(searched(runs, made, json.dumps(ITEMS), link)) == [("30 days", "It is 30 days here.", "Returns")]


def test_a_cited_value_is_a_stated_claim_and_is_checked(runs: ModuleType, made: Made) -> None:
    run = searched(runs, made, json.dumps(ITEMS), "Returns take 30 days [1]. Shipping takes 45 hours [1].")
    stated = [one for one in run.claims("document_answer") if one[2] == "stated"]
    assert stated == [(("30",), "30", "stated", "cited_document+number")]
    assert [(one.holds, [run.text(place) for place in one.places[:2]]) for one in run.findings("citation")] == [
        (True, ["30", "30"]), (False, ["45", "45"]),
    ]  # fmt: skip


def test_a_value_of_a_document_that_is_not_cited_is_available(runs: ModuleType, made: Made) -> None:
    run = searched(runs, made, json.dumps(ITEMS), "Shipping takes 45 hours.")
    assert run.claims("document_answer") == [(("45",), "45", "available", "shared_value")]
    assert run.findings("citation") == []


@pytest.mark.parametrize("text", ["<doc>" * 30_000, "[1] a\n" * 30_000, "[" * 60_000, "(source: " * 20_000])
def test_long_nonsense_is_bounded(runs: ModuleType, made: Made, text: str) -> None:
    run = searched(runs, made, text, text)
    assert len(run.structure.documents) <= 1000 and len(run.structure.citations) <= 1000
