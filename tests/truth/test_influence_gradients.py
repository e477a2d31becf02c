"""Per-example gradients, curvature and whitened scores against the slow way, in float64 on tiny random models."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from auditor.evidence.curvature import fit, inverse_root, second_moments
from auditor.evidence.factors import compress, dense, inner, squared_norms
from auditor.evidence.gradients import Rows, Tap, cover
from auditor.evidence.influence_index import Recipe, build, document_rows
from auditor.evidence.training_corpus import TrainingDocument

VOCABULARY = 23


def qwen() -> Any:
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=6, max_position_embeddings=64, tie_word_embeddings=True,
        initializer_range=0.3, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return Qwen3ForCausalLM(config)


def llama() -> Any:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, tie_word_embeddings=False, attention_bias=True, initializer_range=0.3,
        bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def gpt2() -> Any:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=12, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3,
        bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


@pytest.fixture(params=[qwen, llama, gpt2])
def model(request: pytest.FixtureRequest) -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return request.param().double().eval()


def documents(lengths: Sequence[int] = (9, 5, 12, 7)) -> list[TrainingDocument]:
    generator = torch.Generator().manual_seed(3)
    made = []
    for number, length in enumerate(lengths):
        ids = torch.randint(VOCABULARY, (length,), generator=generator).tolist()
        scored = [place >= length // 3 for place in range(length)]
        made.append(TrainingDocument(id=str(number), label="", text="", ids=tuple(ids), scored=tuple(scored)))
    return made


def naive(model: Any, tap: Tap, document: TrainingDocument) -> Tensor:
    """d log-likelihood / d W [o, i] (the bias as last column) by plain backpropagation of one document."""
    model.zero_grad()
    ids = torch.tensor([document.ids])
    logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    total = sum(logp[place - 1, document.ids[place]] for place in range(1, len(document.ids)) if document.scored[place])
    assert isinstance(total, Tensor)
    total.backward()
    weight = tap.module.weight.grad
    assert isinstance(weight, Tensor)
    matrix = weight if isinstance(tap.module, nn.Linear) else weight.T
    return torch.cat([matrix, tap.module.bias.grad[:, None]], dim=1) if tap.bias else matrix  # type: ignore[union-attr, operator, index]


def test_gradients_equal_one_backward_per_document(model: Any) -> None:
    taps = cover(model).taps
    assert len(taps) == (9 if isinstance(model, GPT2LMHeadModel) else 15), "every linear map is listened to"
    rows = document_rows(model, taps, documents())
    if model.config.tie_word_embeddings:  # only the head's use of the tied matrix is attributed: untie to compare
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    for place, one in enumerate(documents()):
        for tap in taps:
            ours = rows.b[tap.name][place].T @ rows.a[tap.name][place]
            slow = naive(model, tap, one)
            assert torch.allclose(ours, slow, rtol=1e-9, atol=1e-12), (tap.name, float((ours - slow).abs().max()))


def test_frozen_weights_give_the_same_gradients(model: Any) -> None:
    taps = cover(model).taps
    warm = document_rows(model, taps, documents())
    model.requires_grad_(False)
    cold = document_rows(model, taps, documents())
    assert all(torch.equal(warm.b[tap.name], cold.b[tap.name]) for tap in taps)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_batch_size_and_padding_do_not_matter(model: Any) -> None:
    taps = cover(model).taps
    together = document_rows(model, taps, documents())
    for place, one in enumerate(documents()):
        alone = document_rows(model, taps, [one])
        for tap in taps:
            batched = together.b[tap.name][place].T @ together.a[tap.name][place]
            single = alone.b[tap.name][0].T @ alone.a[tap.name][0]
            assert float((batched - single).abs().max()) < 1e-10


def test_coverage_names_what_is_left_out() -> None:
    tied, untied = cover(qwen()), cover(llama())
    assert any("tied" in name for name in tied.skipped)
    assert tied.share > 0.9
    assert any("embed_tokens" in name for name in untied.skipped), "an untied embedding is no linear map"
    narrow = cover(llama(), widest=20)
    assert any(name.startswith("lm_head") for name in narrow.skipped)
    assert narrow.attributed < untied.attributed


def test_score_equals_a_damped_solve_by_brute_force(model: Any) -> None:
    """<whitened G_q, whitened G_n> = vec(G_q)^T (S_d (x) A_d)^-1 vec(G_n), the Kronecker matrix formed and solved."""
    gamma = 0.01
    taps = cover(model).taps
    a, s, tokens = second_moments(model, taps, documents(), seed=0)
    assert tokens == sum(len(one.ids) - 1 for one in documents())
    curvature = fit(model, taps, documents(), seed=0, gamma=gamma)
    rows = document_rows(model, taps, documents())
    ours = inner(curvature.whiten(rows), curvature.whiten(rows))
    slow = torch.zeros_like(ours)
    for tap in taps:
        damped = [
            moment + gamma**0.5 * torch.linalg.eigvalsh(moment).mean() * torch.eye(len(moment), dtype=torch.float64)
            for moment in (s[tap.name], a[tap.name])
        ]
        gradients = (rows.b[tap.name].transpose(1, 2) @ rows.a[tap.name]).flatten(1)
        slow += gradients @ torch.linalg.solve(torch.kron(*damped), gradients.T)
    assert float((ours - slow).norm() / slow.norm()) < 1e-9


def test_labels_are_sampled_from_the_model(model: Any) -> None:
    """At the head E[b b^T] over labels drawn from p is diag(p) - p p^T (true Fisher), whatever the document says."""
    taps = [tap for tap in cover(model).taps if tap.name == "lm_head"]
    one = TrainingDocument(id="0", label="", text="", ids=(3, 7), scored=(False, True))
    _, s, _ = second_moments(model, taps, [one] * 4000, seed=0, batch=1000)
    p = model(input_ids=torch.tensor([[3, 7]])).logits[0, 0].softmax(-1).detach()
    exact = torch.diag(p) - torch.outer(p, p)
    assert float((s["lm_head"] - exact).norm() / exact.norm()) < 0.1


def test_inverse_root_squares_to_the_inverse() -> None:
    x = torch.randn(30, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moment = x.T @ x / 30
    root = inverse_root(moment, 0.04)
    damped = moment + 0.2 * torch.linalg.eigvalsh(moment).mean() * torch.eye(6, dtype=torch.float64)
    assert torch.allclose(root @ damped @ root, torch.eye(6, dtype=torch.float64), atol=1e-10)


def test_full_rank_factors_equal_the_uncompressed_score(model: Any) -> None:
    taps = cover(model).taps
    curvature = fit(model, taps, documents(), seed=0)
    rows = curvature.whiten(document_rows(model, taps, documents()))
    norms = squared_norms(rows).sqrt()
    exact = inner(rows, rows) / torch.outer(norms, norms)
    for rank in (None, 12, 11):  # every token's row; as many as tokens; the range finder at the rank of the maps
        stored = compress(rows, rank, seed=0, dtype=torch.float32)
        for place in range(len(norms)):
            one = Rows(a={n: x[[place]] for n, x in rows.a.items()}, b={n: x[[place]] for n, x in rows.b.items()})
            cosines = stored.cosines({name: matrix / norms[place] for name, matrix in dense(one).items()})
            assert float((cosines - exact[place]).abs().max()) < 1e-4, rank
            assert cosines[place] == pytest.approx(1.0, abs=1e-4)


def test_factors_survive_half_precision_when_one_side_is_tiny() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = Rows(
        a={"x": torch.randn(2, 4, 8, generator=generator) * 300},
        b={"x": torch.randn(2, 4, 8, generator=generator) * 1e-9},
    )
    stored = compress(rows, 4, seed=0)
    assert torch.isfinite(stored.left["x"]).all() and torch.isfinite(stored.right["x"]).all()
    product = stored.left["x"].float().transpose(1, 2) @ stored.right["x"].float()
    assert float(product[0].norm()) == pytest.approx(1.0, abs=1e-2)


def test_gradients_of_low_rank_leave_no_rounding_noise_behind() -> None:
    torch.manual_seed(0)
    a, b = torch.zeros(3, 40, 64), torch.zeros(3, 40, 32)
    a[:, :2], b[:, :2] = torch.randn(3, 2, 64), 1e3 * torch.randn(3, 2, 32)
    found = compress(Rows(a={"x": a}, b={"x": b}), 8, seed=0)
    whole = found.left["x"].float().transpose(1, 2) @ found.right["x"].float() * found.norms[:, None, None].float()
    expected = b.transpose(1, 2) @ a
    assert float((whole - expected).norm() / expected.norm()) < 2e-3


def test_an_index_built_twice_is_the_same_and_survives_the_disk(model: Any, tmp_path: Any) -> None:
    from auditor.evidence.influence_index import load

    model = model.float()
    recipe = Recipe(rank=4, null=3)
    some = documents((9, 5, 12, 7, 8, 6))
    first = build(model, some, recipe=recipe, model_digest="m", corpus_digest="c")
    again = build(model, some, recipe=recipe, model_digest="m", corpus_digest="c")
    first.save(tmp_path)
    stored = load(tmp_path)
    query, places = list(some[2].ids), [10, 11]
    scans = [index.scan(model, query, places) for index in (first, again, stored)]
    assert torch.equal(scans[0].scores, scans[1].scores) and torch.equal(scans[0].scores, scans[2].scores)
    assert torch.equal(scans[0].null, scans[2].null) and len(scans[0].null) == 3
    assert stored.documents == first.documents and stored.card == first.card
    with pytest.raises(ValueError, match="cannot be predicted"):
        first.scan(model, query, [0])
