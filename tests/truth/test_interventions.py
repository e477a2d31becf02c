"""Interventions against the slow way: edit the messages, render, tokenise and run each variant alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from auditor.evidence.methods.ablation import Ablation
from auditor.evidence.replay import replay
from auditor.evidence.scoring import Scorer, Variant
from auditor.records.messages import Message, Text, ToolResult, part_text


def log_prob(told: Any, ids: list[int], positions: tuple[int, ...], mask: torch.Tensor | None = None) -> float:
    with torch.no_grad():
        logits = told.model(torch.tensor([ids]), attention_mask=mask).logits[0].double().log_softmax(-1)
    return sum(float(logits[p - 1, ids[p]]) for p in positions)


def edited(kit: Any, question: Any, price: str) -> Any:
    """The same call with another price in the tool's message, rendered from messages alone."""
    messages = dict(question.messages)
    tool = question.call.inputs[3]
    part = messages[tool].parts[0]
    messages[tool] = replace(messages[tool], parts=(replace(part, text=f'{{"price": {price}}}'),))
    return replace(question, messages=messages)


def test_swaps_equal_editing_the_messages(kit: Any, shop: Callable[..., Any]) -> None:
    question = shop(kit)
    told = replay(question, kit.loaded)
    arm = next(a for a in Ablation().answer(question, told)[0].arms if a.family == "swap")
    decision = told.decision(question.claims[0].target)
    recorded = log_prob(told, told.ids.tolist(), decision.positions)
    for row in kit.arm(arm.effects)[:8]:
        again = replay(edited(kit, question, row["replacement"]), kit.loaded)
        assert again.ids.tolist() != told.ids.tolist()
        expected = recorded - log_prob(told, again.ids.tolist(), decision.positions)
        assert expected == pytest.approx(_plain_swap(told, question, row["replacement"]), abs=1e-4)


def _plain_swap(told: Any, question: Any, price: str) -> float:
    """The same edit through the fast path, in the recorded context."""
    decision = told.decision(question.claims[0].target)
    low, high = told.characters_of(question.claims[0].sources[0])
    text = told.text[:low] + price + told.text[high:]
    ids = told.encode(text, told.rendering.output_start).ids
    recorded = tuple(told.ids.tolist())
    scorer = Scorer(replay=told, contexts=(recorded,), jittered_from=len(recorded))
    start = told.tokens_of(question.claims[0].sources[0]).start
    base, swap = scorer.scores(
        [
            Variant(context=0, ids=recorded, positions=decision.positions, start=start),
            Variant(context=0, ids=ids[: len(recorded)], positions=decision.positions, start=start),
        ]
    )
    return base.log_prob - swap.log_prob


def test_every_replicate_equals_a_run_from_scratch(kit64: Any, shop: Callable[..., Any], monkeypatch: Any) -> None:
    """All variants of all arms, batched and cached, against each alone, unbatched, from its first token."""
    question = shop(kit64)
    told = replay(question, kit64.loaded)
    seen: list[tuple[Variant, float, float, float | None]] = []
    fast = Scorer.scores

    def spy(self: Scorer, variants: list[Variant]) -> Any:
        found = fast(self, variants)
        seen.extend((v, s.log_prob, s.margin, s.follow) for v, s in zip(variants, found, strict=True))
        return found

    monkeypatch.setattr(Scorer, "scores", spy)
    Ablation().answer(question, told)
    assert len(seen) > 100 and any(v.hidden for v, *_ in seen) and any(v.follow for v, *_ in seen)
    for variant, fast_log_prob, fast_margin, fast_follow in seen[::3]:
        ids = list(variant.ids[: variant.positions[-1] + 1])
        mask = naive_mask(len(ids), variant.hidden) if variant.hidden else None
        assert log_prob(told, ids, variant.positions, mask) == pytest.approx(fast_log_prob, abs=1e-9)
        with torch.no_grad():
            logits = told.model(torch.tensor([ids]), attention_mask=mask).logits[0]
        odds = 0.0
        for p in variant.positions:
            row = logits[p - 1].tolist()
            odds += row[ids[p]] - max(x for token, x in enumerate(row) if token != ids[p])
        assert odds == pytest.approx(fast_margin, abs=1e-9)
        if variant.follow is not None:
            for p, token in zip(variant.positions, variant.follow, strict=True):
                ids[p] = token
            assert log_prob(told, ids, variant.positions, mask) == pytest.approx(fast_follow, abs=1e-9)


def naive_mask(length: int, hidden: Any) -> torch.Tensor:
    mask = torch.zeros(1, 1, length, length, dtype=torch.float64)
    for row in range(length):
        for column in range(length):
            gone = any(start <= column < end <= row for start, end in hidden)
            if column > row or gone:
                mask[0, 0, row, column] = torch.finfo(torch.float64).min
    return mask


def test_a_source_after_the_decision_is_refused(kit: Any) -> None:
    inputs = [Message(role="user", parts=(Text(text="Give two numbers."),))]
    output = Message(role="assistant", parts=(Text(text="First 42, then 57."),))
    question = kit.ask(inputs, output, lambda talk: [talk.claim([talk.find(1, "57")], talk.find(1, "42"))])
    (evidence,) = Ablation().answer(question, replay(question, kit.loaded))
    assert evidence.reason == "unsupported" and not evidence.arms


def test_draws_can_be_redone(kit: Any, shop: Callable[..., Any]) -> None:
    question = shop(kit)
    told = replay(question, kit.loaded)
    first, second = (Ablation().answer(question, told)[0] for _ in range(2))
    for one, other in zip(first.arms, second.arms, strict=True):
        if one.skipped is None:
            assert kit.arm(one.effects) == kit.arm(other.effects)


def test_json_stays_json_and_digits_keep_their_number(kit: Any, shop: Callable[..., Any]) -> None:
    question = shop(kit)
    evidence = Ablation().answer(question, replay(question, kit.loaded))[0]
    rows = kit.arm(evidence.arms[0].effects)
    assert all(row["replacement"].isdigit() and len(row["replacement"]) == 2 for row in rows)
    assert len({row["replacement"] for row in rows}) > 16 and "42" not in {row["replacement"] for row in rows}


def test_whole_part_text_is_what_was_recorded(kit: Any, shop: Callable[..., Any]) -> None:
    question = shop(kit)
    told = replay(question, kit.loaded)
    tool = question.call.inputs[3]
    assert isinstance(question.messages[tool].parts[0], ToolResult)
    piece = next(p for p in told.prompt_pieces() if p.message == tool)
    low, high = told.characters_of(piece.span)
    assert told.text[low:high] == part_text(question.messages[tool].parts[0])
