"""The one door for workers: a question and method names in, evidence out. Refusals become evidence with a reason."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from auditor.evidence.answering import refused
from auditor.evidence.catalogue import load as load_method
from auditor.evidence.loaded import Loaded, load
from auditor.evidence.protocol import Method, Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.replay import Replay, replay
from auditor.records.evidence import Evidence

Cache = MutableMapping[str, Loaded]
"""Loaded models by weights folder and declared digest; kept by the worker between jobs."""


def answer(question: Question, methods: Sequence[str], loaded_cache: Cache, device: str = "cpu") -> list[Evidence]:
    """Run the methods on one replay of the question's call.

    Every claim gets, from every method that speaks to it, either findings or a reason: `weights_unavailable` without
    weights, the replay's own reason where it was refused. question.progress is told before and after each method.
    """
    found: list[Evidence] = []
    told: Replay | None = None
    refusal: ReplayRefused | None = None
    tried = False
    chosen = [load_method(name) for name in methods]
    for number, method in enumerate(chosen):
        question.progress(number, len(chosen), method.spec.title)
        if method.spec.needs == frozenset({"record"}):
            found += method.answer(question, None)
            continue
        if not tried:
            tried = True
            try:
                told = replay(question, _loaded(question, loaded_cache, device))
            except ReplayRefused as no:
                refusal = no
        found += _asked(question, method, told, refusal)
    question.progress(len(chosen), len(chosen), "done")
    return found


def _asked(question: Question, method: Method, told: Any, refusal: ReplayRefused | None) -> list[Evidence]:
    if told is not None:
        try:
            return method.answer(question, told)
        except ReplayRefused as no:  # a method may find that the whole call is not for it
            refusal = no
    assert refusal is not None
    targets = (None,) if method.spec.per_call else question.claims
    return [refused(question, target, method.spec, refusal) for target in targets]


def _loaded(question: Question, cache: Cache, device: str) -> Loaded:
    entry = question.model
    if entry is None:
        raise ReplayRefused("weights_unavailable", f"the models file has no weights for {question.call.model!r}")
    key = f"{entry.weights}|{entry.digest}|{entry.dtype}|{entry.chat_template}|{device}"
    if key not in cache:
        cache[key] = load(entry, device)
    return cache[key]
