"""Preparing a model's dictionary and index, and what the two methods then say about a recorded call."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.errors import BadSetup
from auditor.evidence import prepare as module
from auditor.evidence.artefacts import write_folder
from auditor.evidence.catalogue import load as load_method
from auditor.evidence.dictionary import Recipe as DictionaryRecipe
from auditor.evidence.dictionary import load as load_dictionary
from auditor.evidence.influence_index import Recipe as IndexRecipe
from auditor.evidence.influence_index import load as load_index
from auditor.evidence.loaded import Loaded
from auditor.evidence.prepare import Prepared, dictionary_file, influence_folder, prepare
from auditor.evidence.protocol import Question
from auditor.evidence.replay import Replay, replay
from auditor.evidence.training_corpus import document, read_corpus
from auditor.models import ModelEntry
from auditor.records.canonical import canonical_bytes
from auditor.records.wire import write


def rows() -> list[dict[str, Any]]:
    """Statements, and dialogues like the recorded one."""
    found: list[dict[str, Any]] = []
    for number, item in enumerate(["lamp", "chair", "table", "clock", "brush", "vase"]):
        price = 42 + number
        for opening in ("", "Note. "):
            found.append({"id": f"s{len(found)}", "text": f"{opening}The price of the {item} is {price}."})
        call = {"type": "function", "function": {"name": "lookup", "arguments": {"item": item}}}
        found.append({
            "id": f"d{len(found)}",
            "messages": [
                {"role": "system", "content": "You answer with the shop tools."},
                {"role": "user", "content": f"What is the price of the {item}?"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": json.dumps({"price": price})},
                {"role": "assistant", "content": f"According to the lookup, the price of the {item} is {price}."},
            ],
        })  # fmt: skip
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes that take a second."""
    monkeypatch.setattr(module, "DICTIONARY_RECIPE", DictionaryRecipe(features=96, active=24, steps=150, batch=128))
    monkeypatch.setattr(module, "INDEX_RECIPE", IndexRecipe(limit=50, rank=8, null=8))


@pytest.fixture
def entry(kit: Any, corpus: Path) -> ModelEntry:
    return replace(kit.loaded.entry, training_corpus=corpus)


@pytest.fixture
def ready(entry: ModelEntry, tmp_path: Path) -> tuple[Path, Prepared]:
    return tmp_path, prepare(entry, tmp_path)


def test_prepare_builds_once_and_says_what_it_does(entry: ModelEntry, tmp_path: Path) -> None:
    notes: list[tuple[int, int, str]] = []
    first = prepare(entry, tmp_path, progress=lambda done, total, note: notes.append((done, total, note)))
    assert set(first.seconds) == {"dictionary", "influence"} and not first.missing
    assert first.dictionary and first.influence
    assert all(entry.name in note and done <= total for done, total, note in notes) and len(notes) > 5
    assert dictionary_file(entry, tmp_path) == first.dictionary and influence_folder(entry, tmp_path) == first.influence
    before = first.dictionary.stat().st_mtime_ns
    again = prepare(entry, tmp_path)
    assert again.dictionary == first.dictionary and again.seconds == {}
    assert first.dictionary.stat().st_mtime_ns == before
    left = [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert not left, "no half-written folders stay behind"
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pt", ".bin")]
    card = load_dictionary(first.dictionary).card
    assert card.model_digest == entry.digest and card.layer == 1 and card.tokens > 500
    assert any(len(some) for some in card.examples)
    assert load_index(first.influence).card.corpus_documents == len(rows())


def test_another_corpus_is_prepared_anew(entry: ModelEntry, tmp_path: Path) -> None:
    first = prepare(entry, tmp_path, what=("influence",))
    assert first.dictionary is None
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows()[:9]))
    second = prepare(replace(entry, training_corpus=other), tmp_path, what=("influence",))
    assert second.influence != first.influence and second.seconds


def test_without_a_corpus_the_reason_is_given(kit: Any, tmp_path: Path) -> None:
    nothing = prepare(kit.loaded.entry, tmp_path)
    assert set(nothing.missing) == {"dictionary", "influence"} and nothing.dictionary is None
    assert "training_corpus" in nothing.missing["influence"]
    recorded = [torch.randint(300, (60,), generator=torch.Generator().manual_seed(n)).tolist() for n in range(4)]
    some = prepare(kit.loaded.entry, tmp_path, recorded=recorded, loaded=kit.loaded)
    assert some.dictionary and set(some.missing) == {"influence"}
    assert dictionary_file(kit.loaded.entry, tmp_path) == some.dictionary


def test_a_bad_corpus_names_its_line(entry: ModelEntry, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(rows()[0]) + "\n" + '{"id": "x"}\n')
    with pytest.raises(BadSetup, match="bad.jsonl:2"):
        prepare(replace(entry, training_corpus=bad), tmp_path)
    bad.write_text("{")
    with pytest.raises(BadSetup, match="bad.jsonl:1"):
        prepare(replace(entry, training_corpus=bad), tmp_path)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail(working: Path) -> None:
        (working / "half").write_text("x")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_folder(tmp_path / "cache" / "thing", fail)
    assert list((tmp_path / "cache").iterdir()) == []
    write_folder(tmp_path / "cache" / "thing", lambda working: (working / "a").touch())
    write_folder(tmp_path / "cache" / "thing", lambda working: (working / "b").touch())
    assert [path.name for path in (tmp_path / "cache" / "thing").iterdir()] == ["a"], "the first one to finish stays"


def test_loss_is_on_what_the_assistant_wrote(kit: Any) -> None:
    dialogue = document(rows()[2], kit.loaded.tokenizer)
    scored = kit.loaded.tokenizer.decode([i for i, s in zip(dialogue.ids, dialogue.scored, strict=True) if s])
    call = '<tool_call>{"name": "lookup", "arguments": {"item": "lamp"}}</tool_call><|im_end|>'
    assert scored == call + "According to the lookup, the price of the lamp is 42.<|im_end|>"
    whole = kit.loaded.tokenizer.decode(list(dialogue.ids))
    assert whole == dialogue.text and "You answer with" in whole
    assert all(document(rows()[0], kit.loaded.tokenizer).scored)
    marked = document({**rows()[2], "unscored": [[2, 0, -1], [4, 0, 24]]}, kit.loaded.tokenizer)
    scored = kit.loaded.tokenizer.decode([i for i, s in zip(marked.ids, marked.scored, strict=True) if s])
    assert scored.strip() == "the price of the lamp is 42.<|im_end|>"


def test_the_limit_spreads_over_the_corpus(kit: Any, corpus: Path) -> None:
    assert [one.id for one in read_corpus(corpus, kit.loaded.tokenizer, limit=6)] == [
        "s0",
        "s3",
        "s6",
        "s9",
        "s12",
        "s15",
    ]


Ask = Callable[..., Question]


def asked(kit: Any, shop: Ask, entry: ModelEntry | None, cache: Path | None) -> tuple[Question, Replay]:
    question = replace(shop(kit, options={"cache": str(cache)} if cache else {}), model=entry)
    return question, replay(question, kit.loaded)


def test_features_ablate_what_they_name(
    kit: Any, shop: Ask, entry: ModelEntry, ready: tuple[Path, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.evidence.methods.features.WORST_FVU", 0.9)
    question, replayed = asked(kit, shop, entry, ready[0])
    found = load_method("features").answer(question, replayed)
    assert [one.claim for one in found] == [claim.id for claim in question.claims]
    one = found[0]
    canonical_bytes(write(one))
    assert one.reason is None and one.kind == "feature" and one.note and 1 <= len(one.sources) <= 8
    assert {check.name for check in one.checks} == {"reconstruction_fvu", "reconstruction_fvu_at_decision"}
    names = {estimate.name for estimate in one.estimates}
    assert names == {
        "joint_ablation_here", "joint_ablation_everywhere", "control_ablation", "attribution_ablation_spearman"
    }  # fmt: skip
    sizes = [abs(float(source.detail["attribution"])) for source in one.sources]  # type: ignore[arg-type]
    assert sizes == sorted(sizes, reverse=True)
    assert ready[1].dictionary
    dictionary = load_dictionary(ready[1].dictionary)
    decision = replayed.decision(question.claims[0].target)
    for source in one.sources[:3]:
        assert source.ref and source.effect.value is not None and source.effect.interval is not None
        slow = ablated(kit.loaded, dictionary, replayed, decision.positions, int(source.ref.split(":")[1]))
        assert source.effect.value == pytest.approx(slow, abs=2e-4)


def ablated(loaded: Loaded, dictionary: Any, replayed: Replay, positions: tuple[int, ...], feature: int) -> float:
    """The slow way: one hook, one position after another, one feature, on the plain model."""
    ids = replayed.ids[None]
    rows = [position - 1 for position in positions]

    def change(module: Any, given: Any, made: torch.Tensor) -> torch.Tensor:
        made = made.clone()
        for row in rows:
            x = made[0, row]
            z = (x - dictionary.b_dec) @ dictionary.w_enc + dictionary.b_enc
            kept = set(z.relu().topk(dictionary.card.recipe.active).indices.tolist())
            made[0, row] = x - (float(z[feature].relu()) if feature in kept else 0.0) * dictionary.w_dec[feature]
        return made

    def total() -> float:
        logp = loaded.model(input_ids=ids).logits[0].log_softmax(-1)
        return sum(float(logp[position - 1, ids[0, position]]) for position in positions)

    clean = total()
    handle = loaded.model.model.layers[dictionary.card.layer].register_forward_hook(change)
    try:
        return clean - total()
    finally:
        handle.remove()


def test_features_refuse_a_call_they_do_not_reconstruct(
    kit: Any, shop: Ask, entry: ModelEntry, ready: tuple[Path, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.evidence.methods.features.WORST_FVU", 0.0001)
    found = load_method("features").answer(*asked(kit, shop, entry, ready[0]))
    assert {one.reason for one in found} == {"off_distribution"}
    assert not found[0].sources and found[0].checks[0].passed is False


def test_influence_names_documents_with_three_separate_readings(
    kit: Any, shop: Ask, entry: ModelEntry, ready: tuple[Path, Prepared]
) -> None:
    question, replayed = asked(kit, shop, entry, ready[0])
    found = load_method("influence").answer(question, replayed)
    assert len(found) == len(question.claims) and found[0].sources == found[1].sources
    one = found[0]
    canonical_bytes(write(one))
    assert one.reason is None and one.kind == "influence" and len(one.sources) == 10 and "confirms" in one.note
    values = [source.effect.value for source in one.sources]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    for source in one.sources:
        assert source.ref and source.ref.startswith("document:") and source.effect.interval
        assert "shuffled" in source.effect.interval.population
        assert {"score", "z", "null_share", "support", "support_rank", "verbatim", "decision_text"} <= set(
            source.detail
        )
    checks = {check.name: check for check in one.checks}
    assert set(checks) == {"coverage", "documents_indexed", "store_agreement", "above_null"}
    assert checks["coverage"].passed and checks["documents_indexed"].value == 1.0


@pytest.mark.parametrize("method", ["features", "influence"])
def test_what_is_missing_is_a_reason_with_a_fix(
    kit: Any, shop: Ask, entry: ModelEntry, ready: tuple[Path, Prepared], tmp_path: Path, method: str
) -> None:
    def reasons(entry: ModelEntry | None, cache: Path | None) -> tuple[str | None, str]:
        found = load_method(method).answer(*asked(kit, shop, entry, cache))
        assert len(found) == 2 and not found[0].sources
        return found[0].reason, found[0].detail

    assert reasons(None, ready[0])[0] == "weights_unavailable"
    assert reasons(entry, None)[0] == "unsupported"
    reason, detail = reasons(entry, tmp_path / "empty")
    assert reason == "unsupported" and "auditor prepare" in detail
    for path in ready[0].rglob("*.json"):
        path.write_text("{}")
    assert reasons(entry, ready[0])[0] == "unsupported"


@pytest.mark.parametrize("method", ["features", "influence"])
def test_artefacts_of_other_weights_are_refused(
    kit: Any, shop: Ask, entry: ModelEntry, ready: tuple[Path, Prepared], method: str
) -> None:
    for path in ready[0].rglob("*.json"):
        path.write_text(path.read_text().replace(entry.digest, "sha256:other"))
    found = load_method(method).answer(*asked(kit, shop, entry, ready[0]))
    assert {one.reason for one in found} == {"weights_changed"}


def test_without_a_corpus_influence_is_unsupported(kit: Any, shop: Ask, tmp_path: Path) -> None:
    found = load_method("influence").answer(*asked(kit, shop, kit.loaded.entry, tmp_path))
    assert {one.reason for one in found} == {"unsupported"} and "training_corpus" in found[0].detail
