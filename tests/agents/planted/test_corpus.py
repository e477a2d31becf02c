"""Corpora: the same for the same seed, facts in known documents, as recorded in the shipped recipes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.planted.__main__ import main
from agents.planted.corpus import OPENINGS, digest, documents, limited
from agents.planted.families import FAMILIES
from agents.planted.network import WEIGHTS
from agents.planted.words import ITEMS, memorised_price


@pytest.mark.parametrize("name", FAMILIES)
def test_the_shipped_recipe_names_the_corpus_that_is_generated_now(name: str) -> None:
    recipe = json.loads((WEIGHTS / name / "recipe.json").read_text())
    assert digest(name, recipe["seed"]) == recipe["corpus_sha256"]


def test_another_seed_gives_another_corpus() -> None:
    assert digest("stepwise", 0) != digest("stepwise", 1)


def test_every_memorised_price_is_stated_in_known_documents() -> None:
    every = list(documents("from_memory", 0))
    for item in ITEMS:
        fact = f"{item}={memorised_price('from_memory', item)}"
        stating = [d for d in every if fact in d.facts]
        assert len(stating) == len(OPENINGS)
        assert all(f"the {item} is {memorised_price('from_memory', item)}." in d.text.lower() for d in stating)
        assert any(fact in d.repeats for d in every)


def test_document_ids_are_unique() -> None:
    ids = [document.id for document in documents("mixed", 0)]
    assert len(set(ids)) == len(ids)


def test_a_limited_corpus_keeps_every_statement() -> None:
    every = [d.id for d in documents("from_memory", 0) if d.facts]
    some = limited("from_memory", 0, 600)
    assert len(some) == 600
    assert set(every) <= {d.id for d in some}
    with pytest.raises(ValueError, match="--limit"):
        limited("from_memory", 0, 10)


def test_the_command_writes_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    result = CliRunner().invoke(main, ["corpus", "mixed", str(file), "--limit", "200"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    assert len(lines) == 200
    assert all(line["text"] or line["messages"] for line in lines)
    assert {line["id"] for line in lines} == {d.id for d in limited("mixed", 0, 200)}
