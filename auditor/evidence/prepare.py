"""What `auditor prepare` does: build a model's dictionary and influence index once, where the methods find them.

Idempotent: what is there already is not built again. Deterministic for one machine: the same model, corpus and recipe
give the same artefact.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from auditor.evidence import dictionary as dictionaries
from auditor.evidence import influence_index as indexes
from auditor.evidence.artefacts import place, write_folder
from auditor.evidence.loaded import Loaded, load
from auditor.evidence.residual import corpus_residuals, middle_layer
from auditor.evidence.training_corpus import TrainingDocument, corpus_digest, read_corpus
from auditor.models import ModelEntry
from auditor.records.canonical import content_id

What = Literal["dictionary", "influence"]
Progress = Callable[[int, int, str], None]
DICTIONARY_FILE = "dictionary.safetensors"
RECORDED = "recorded calls"
"""Stands for the corpus digest where a dictionary was trained on recorded calls."""
DICTIONARY_RECIPE = dictionaries.Recipe()
INDEX_RECIPE = indexes.Recipe()
CONTEXT = 24
"""Characters shown before a token that a feature fires on."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Where the artefacts are; `missing` says for each that could not be built why, `seconds` what was built now."""

    dictionary: Path | None = None
    influence: Path | None = None
    missing: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def dictionary_file(entry: ModelEntry, cache: Path) -> Path | None:
    """The dictionary of a model: the one its entry names, else the prepared one, else None."""
    if entry.dictionary is not None:
        return entry.dictionary
    for corpus in ([corpus_digest(entry.training_corpus)] if entry.training_corpus else []) + [RECORDED]:
        path = place(cache, "dictionary", entry.digest, corpus, asdict(DICTIONARY_RECIPE)) / DICTIONARY_FILE
        if path.is_file():
            return path
    return None


def influence_folder(entry: ModelEntry, cache: Path) -> Path | None:
    """The prepared influence index of a model, None when there is none."""
    if entry.training_corpus is None:
        return None
    folder = place(cache, "influence", entry.digest, corpus_digest(entry.training_corpus), asdict(INDEX_RECIPE))
    return folder if folder.is_dir() else None


def prepare(
    entry: ModelEntry,
    cache: Path,
    *,
    what: Collection[What] = ("dictionary", "influence"),
    progress: Progress = lambda done, total, note: None,
    recorded: Sequence[Sequence[int]] = (),
    loaded: Loaded | None = None,
) -> Prepared:
    """Build what is asked for and not there yet.

    `recorded` are token ids of recorded calls, for the dictionary of a model without a training corpus. ReplayRefused
    when the weights are gone or changed, BadSetup when the corpus cannot be read.
    """
    result = Prepared(
        dictionary=dictionary_file(entry, cache) if "dictionary" in what else None,
        influence=influence_folder(entry, cache) if "influence" in what else None,
    )
    wanted = [name for name in ("dictionary", "influence") if name in what and getattr(result, name) is None]
    for name in wanted:
        if entry.training_corpus is None and (name == "influence" or not recorded):
            fix = "name a training_corpus in the models file"
            result.missing[name] = f"{entry.name} has no training documents to build it from: {fix}"
    for name in wanted:
        if name in result.missing:
            continue
        loaded = loaded or load(entry)
        began = time.monotonic()
        if name == "dictionary":
            result = replace(result, dictionary=_dictionary(entry, cache, loaded, recorded, progress))
        else:
            result = replace(result, influence=_influence(entry, cache, loaded, progress))
        result.seconds[name] = round(time.monotonic() - began, 2)
    return result


def _dictionary(
    entry: ModelEntry, cache: Path, loaded: Loaded, recorded: Sequence[Sequence[int]], progress: Progress
) -> Path:
    recipe = DICTIONARY_RECIPE
    documents, corpus, _ = _texts(entry, loaded, recorded)
    progress(0, recipe.steps, f"{entry.name}: reading the residual stream of {len(documents)} documents")
    layer = middle_layer(loaded.model)
    vectors, owners = corpus_residuals(loaded.model, layer, documents)
    card = dictionaries.DictionaryCard(model_digest=entry.digest, corpus_digest=corpus, layer=layer)
    began = time.monotonic()

    def report(done: int, total: int) -> None:
        if done % 20 == 0:
            progress(done, total, f"{entry.name}: training a dictionary of {recipe.features} features")

    made = dictionaries.train(vectors, recipe=recipe, card=card, report=report)

    def text(document: int, token: int) -> tuple[str, str]:
        ids = documents[document].ids
        before = loaded.tokenizer.decode(ids[max(0, token - 12) : token])
        return loaded.tokenizer.decode(ids[token : token + 1]), before[-CONTEXT:]

    examples = dictionaries.strongest_examples(made, vectors, owners, [d.id for d in documents], text)
    made.card = replace(made.card, examples=examples, seconds=round(time.monotonic() - began, 2))
    folder = place(cache, "dictionary", entry.digest, corpus, asdict(recipe))
    write_folder(folder, lambda working: made.save(working / DICTIONARY_FILE))
    return folder / DICTIONARY_FILE


def _influence(entry: ModelEntry, cache: Path, loaded: Loaded, progress: Progress) -> Path:
    recipe = INDEX_RECIPE
    documents, corpus, whole = _texts(entry, loaded, ())
    progress(0, len(documents), f"{entry.name}: fitting the curvature")
    index = indexes.build(
        loaded.model, documents, recipe=recipe, model_digest=entry.digest, corpus_digest=corpus,
        corpus_documents=whole,
        report=lambda done, total: progress(done, total, f"{entry.name}: indexing training documents"),
    )  # fmt: skip
    folder = place(cache, "influence", entry.digest, corpus, asdict(recipe))
    write_folder(folder, index.save)
    return folder


def _texts(
    entry: ModelEntry, loaded: Loaded, recorded: Sequence[Sequence[int]]
) -> tuple[list[TrainingDocument], str, int]:
    """Documents to work on, the digest they are known by, and how many the whole corpus has."""
    if entry.training_corpus is not None:
        tokenizer, template = loaded.tokenizer, loaded.template
        documents = read_corpus(entry.training_corpus, tokenizer, template=template, limit=INDEX_RECIPE.limit)
        with entry.training_corpus.open("rb") as lines:
            whole = sum(1 for line in lines if line.strip())
        return documents, corpus_digest(entry.training_corpus), whole
    calls = [
        TrainingDocument(
            id=f"call-{content_id(list(ids))[:12]}", label="recorded call", text="", ids=tuple(ids),
            scored=(True,) * len(ids),
        )
        for ids in recorded
    ]  # fmt: skip
    return calls, RECORDED, len(calls)
