"""The sparse dictionary: known directions are found, and what is saved is what was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from auditor.errors import BadSetup
from auditor.evidence.dictionary import (
    Dictionary,
    DictionaryCard,
    Recipe,
    load,
    strongest_examples,
    train,
    unexplained,
)  # fmt: skip
from auditor.evidence.residual import changed_logits, decoder_layers, gradient, read

RECIPE = Recipe(features=64, active=4, steps=800, batch=256)
CARD = DictionaryCard(model_digest="sha256:m", corpus_digest="sha256:c", layer=1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def planted(n: int = 4000, d: int = 24, directions: int = 32, active: int = 3) -> tuple[Tensor, Tensor]:
    """Vectors that are sums of `active` known unit directions [directions, d], off centre and not of unit scale."""
    generator = torch.Generator().manual_seed(5)
    truth = torch.randn(directions, d, generator=generator)
    truth /= truth.norm(dim=1, keepdim=True)
    chosen = torch.rand(n, directions, generator=generator).argsort(1)[:, :active]
    sizes = 1 + torch.rand(n, active, generator=generator)
    codes = torch.zeros(n, directions).scatter(1, chosen, sizes)
    return 7 * codes @ truth + 3, truth


@pytest.fixture(scope="module")
def trained() -> Dictionary:
    return train(planted()[0], recipe=RECIPE, card=CARD)


def test_planted_directions_are_found(trained: Dictionary) -> None:
    truth = planted()[1]
    assert trained.card.fvu < 0.1
    best = (truth @ trained.w_dec.T).max(1).values
    assert float((best > 0.9).float().mean()) > 0.9, "the planted directions have a feature of their own"
    untrained = torch.nn.functional.normalize(torch.randn(64, 24, generator=torch.Generator().manual_seed(0)), dim=1)
    assert float(((truth @ untrained.T).max(1).values > 0.9).float().mean()) < 0.1


def test_encode_keeps_the_k_largest_and_decode_sums_them(trained: Dictionary) -> None:
    x = planted()[0][:50]
    f = trained.encode(x)
    assert int((f > 0).sum(1).max()) <= RECIPE.active and bool((f >= 0).all())
    z = (x - trained.b_dec) @ trained.w_enc + trained.b_enc
    for row in range(len(x)):
        slow = torch.zeros(24)
        for feature in z[row].argsort(descending=True)[: RECIPE.active].tolist():
            slow += max(0.0, float(z[row, feature])) * trained.w_dec[feature]
        assert torch.allclose(trained.decode(f)[row], slow + trained.b_dec, atol=1e-3)
    assert torch.allclose(trained.w_dec.norm(dim=1), torch.ones(64), atol=1e-5)


def test_fvu_counts_variance_around_the_centre(trained: Dictionary) -> None:
    x = planted()[0][:200]
    assert unexplained(x, x, trained.b_dec) == 0
    assert unexplained(x, trained.b_dec.expand_as(x), trained.b_dec) == pytest.approx(1.0)
    noise = torch.randn(200, 24, generator=torch.Generator().manual_seed(1)) * 20
    assert trained.fvu(noise) > 3 * trained.fvu(x), "vectors of another kind are not reconstructed"


def test_the_same_seed_gives_the_same_dictionary(trained: Dictionary) -> None:
    again = train(planted()[0], recipe=RECIPE, card=CARD)
    assert torch.equal(again.w_enc, trained.w_enc) and torch.equal(again.b_enc, trained.b_enc)
    other = train(planted()[0], recipe=Recipe(**{**vars(RECIPE), "seed": 1}), card=CARD)
    assert not torch.equal(other.w_dec, trained.w_dec)


def test_what_is_saved_is_what_is_loaded(trained: Dictionary, tmp_path: Path) -> None:
    trained.save(tmp_path / "d.safetensors")
    back = load(tmp_path / "d.safetensors")
    assert back.card == trained.card
    x = planted()[0][:10]
    assert torch.equal(back.encode(x), trained.encode(x))
    (tmp_path / "d.json").write_text("{}")
    with pytest.raises(BadSetup, match="auditor prepare"):
        load(tmp_path / "d.safetensors")


def test_too_little_text_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        train(torch.zeros(10, 4), recipe=RECIPE, card=CARD)


def test_strongest_examples_equal_a_full_sort(trained: Dictionary) -> None:
    x = planted()[0][:500]
    owners = [(n % 5, n) for n in range(500)]
    names = [f"doc{n}" for n in range(5)]
    found = strongest_examples(trained, x, owners, names, lambda document, token: (str(token), ""), each=3)
    f = trained.encode(x)
    for feature in range(64):
        slow = [n for n in f[:, feature].argsort(descending=True).tolist()[:3] if f[n, feature] > 0]
        assert [int(one.token) for one in found[feature]] == slow
        assert all(one.document == f"doc{int(one.token) % 5}" for one in found[feature])


@pytest.fixture(params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 19, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    if request.param == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_embd=12, n_layer=3, n_head=2, n_positions=32, **sizes)).double().eval()
    config = LlamaConfig(
        hidden_size=12, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2, initializer_range=0.3, **sizes
    )
    return LlamaForCausalLM(config).double().eval()


IDS = torch.tensor([3, 4, 5, 6, 7, 8])


def test_residual_reads_the_hidden_state_of_the_layer(model: Any) -> None:
    assert len(decoder_layers(model)) == 3
    states = model(input_ids=IDS[None], output_hidden_states=True).hidden_states
    assert torch.equal(read(model, 1, IDS[None]), states[2].detach())


def test_residual_gradient_equals_finite_differences(model: Any) -> None:
    def objective(logits: Tensor) -> Tensor:
        return logits[0, 4].log_softmax(-1)[IDS[5]]

    x, slope = gradient(model, 1, IDS[None], objective)
    for place, unit in ((0, 3), (2, 7), (4, 0)):
        step = torch.zeros(2, 6, 12, dtype=torch.float64)
        step[0, place, unit], step[1, place, unit] = 1e-3, -1e-3  # Llama's norm rounds to float32
        up, down = (objective(row[None]) for row in changed_logits(model, 1, IDS, step))
        assert float(slope[0, place, unit]) == pytest.approx(float(up - down) / 2e-3, rel=1e-2, abs=1e-4)
    assert torch.equal(x, read(model, 1, IDS[None]))


def test_no_change_changes_nothing_and_hooks_are_gone(model: Any) -> None:
    clean = model(input_ids=IDS[None]).logits.detach()
    same = changed_logits(model, 1, IDS, torch.zeros(1, 6, 12, dtype=torch.float64))
    assert torch.equal(same, clean)
    changed_logits(model, 1, IDS, torch.ones(1, 6, 12, dtype=torch.float64))
    assert torch.equal(model(input_ids=IDS[None]).logits.detach(), clean)
