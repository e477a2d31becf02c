"""A sparse autoencoder over the residual stream of one decoder layer: train, encode, decode, save, load.

TopK SAE (Gao et al. 2024, arXiv 2406.04093): z = (x - b_dec) W_enc + b_enc; f keeps the k largest relu(z), the rest
is 0; x_hat = f W_dec + b_dec, rows of W_dec of length 1. Loss: mean |x - x_hat|^2 plus 1/32 of the same for features
that have not fired lately, asked to explain what the others left over (AuxK). Deterministic for a seed on one machine.
Blind spots: one layer, one position at a time; a feature is a direction this training found, not a unit of the model.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from auditor.errors import BadSetup

RECIPE = "topk-sae-1"
Report = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a dictionary is trained; part of its cache key."""

    features: int = 512
    active: int = 16
    steps: int = 400
    batch: int = 512
    rate: float = 2e-3
    seed: int = 0
    auxiliary: int = 32
    patience: int = 60
    """Steps without firing after which a feature counts as dead in training."""
    version: str = RECIPE


@dataclass(frozen=True, kw_only=True)
class Example:
    """Where a feature fired most: the token, what came before it, and how strongly. Untrusted text."""

    document: str
    token: str
    before: str
    activation: float


@dataclass(frozen=True, kw_only=True)
class DictionaryCard:
    """What a reader must know of a dictionary."""

    model_digest: str
    corpus_digest: str
    layer: int
    """Index of the decoder layer whose output is encoded (0 is the first)."""
    site: str = "resid_post"
    recipe: Recipe = field(default_factory=Recipe)
    tokens: int = 0
    fvu: float = math.nan
    """Fraction of variance unexplained over the held-out tenth of the tokens."""
    dead: int = 0
    """Features that fire on no token it was trained on."""
    seconds: float = 0.0
    examples: tuple[tuple[Example, ...], ...] = ()
    """By feature id: its strongest tokens."""


class Dictionary:
    """Trained weights: w_enc [d, m], b_enc [m], w_dec [m, d] (unit rows), b_dec [d]; `card` says where from."""

    def __init__(self, *, w_enc: Tensor, b_enc: Tensor, w_dec: Tensor, b_dec: Tensor, card: DictionaryCard) -> None:
        self.w_enc, self.b_enc, self.w_dec, self.b_dec = w_enc, b_enc, w_dec, b_dec
        self.card = card

    def encode(self, x: Tensor) -> Tensor:
        """Activations f [..., m] of residual vectors x [..., d]: at most k are not 0, none is negative."""
        z = (x.to(self.w_enc) - self.b_dec) @ self.w_enc + self.b_enc
        return _top(z, self.card.recipe.active)

    def decode(self, f: Tensor) -> Tensor:
        """Reconstruction x_hat [..., d] of activations f [..., m]."""
        return f.to(self.w_dec) @ self.w_dec + self.b_dec

    def fvu(self, x: Tensor) -> float:
        """Fraction of variance unexplained of x [n, d], around the mean the dictionary was trained with."""
        x = x.to(self.w_enc)
        return unexplained(x, self.decode(self.encode(x)), self.b_dec)

    def describe(self, feature: int) -> str:
        """One line: the tokens it fires on most, in context. Empty when it never fired."""
        if feature >= len(self.card.examples):
            return ""
        return " · ".join(f"{e.before}[{e.token}]" for e in self.card.examples[feature])

    def save(self, path: Path) -> None:
        """Write `path` (safetensors) and beside it the card as JSON (same name, .json)."""
        tensors = {"w_enc": self.w_enc, "b_enc": self.b_enc, "w_dec": self.w_dec, "b_dec": self.b_dec}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        path.with_suffix(".json").write_text(json.dumps(asdict(self.card), ensure_ascii=False, sort_keys=True))


def load(path: Path) -> Dictionary:
    """Read what `save` wrote. BadSetup when a file is missing or is not a dictionary."""
    try:
        tensors = load_file(path)
        card = json.loads(path.with_suffix(".json").read_text())
        recipe = Recipe(**card.pop("recipe"))
        examples = tuple(tuple(Example(**one) for one in some) for some in card.pop("examples"))
        return Dictionary(card=DictionaryCard(recipe=recipe, examples=examples, **card), **tensors)
    except (OSError, ValueError, TypeError, KeyError) as fault:
        raise BadSetup(str(path), f"cannot be read as a dictionary: {fault}", "run `auditor prepare`") from fault


def _top(z: Tensor, k: int) -> Tensor:
    values, places = torch.relu(z).topk(min(k, z.shape[-1]), dim=-1)
    return torch.zeros_like(z).scatter(-1, places, values)


def unexplained(x: Tensor, x_hat: Tensor, centre: Tensor) -> float:
    """Sum |x - x_hat|^2 / sum |x - centre|^2 (0 is perfect, 1 is no better than the centre)."""
    return float((x - x_hat).square().sum() / (x - centre).square().sum().clamp(min=1e-30))


def train(
    x: Tensor, *, recipe: Recipe, card: DictionaryCard, report: Report = lambda done, total: None
) -> Dictionary:
    """Fit a dictionary to residual vectors x [n, d]; a tenth of them is held out for the card's FVU.

    ValueError when there are fewer than 64 vectors.
    """
    if len(x) < 64:
        raise ValueError(f"{len(x)} residual vectors are too few to train a dictionary: give it more text")
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(x), generator=generator)
    held = x[order[: max(16, len(x) // 10)]].float()
    kept = x[order[len(held) :]].float()
    centre = kept.mean(0)
    scale = math.sqrt(x.shape[1]) / float((kept - centre).norm(dim=1).mean().clamp(min=1e-12))
    weights = _fit((kept - centre) * scale, recipe, generator, report)
    w_enc, b_enc, w_dec = (weight.detach() for weight in weights)
    made = Dictionary(w_enc=w_enc, b_enc=b_enc / scale, w_dec=w_dec, b_dec=centre, card=replace(card, recipe=recipe))
    fired = torch.zeros(recipe.features, dtype=torch.bool)
    for start in range(0, len(kept), 8192):
        fired |= (made.encode(kept[start : start + 8192]) > 0).any(0)
    made.card = replace(made.card, tokens=len(x), fvu=made.fvu(held), dead=int((~fired).sum()))
    return made


def _fit(y: Tensor, recipe: Recipe, generator: torch.Generator, report: Report) -> tuple[Tensor, Tensor, Tensor]:
    """Encoder, its bias and unit-row decoder for centred and scaled vectors y [n, d]."""
    first = torch.randn((recipe.features, y.shape[1]), generator=generator)
    w_dec = (first / first.norm(dim=1, keepdim=True)).requires_grad_(True)
    w_enc = w_dec.detach().T.clone().requires_grad_(True)
    b_enc = torch.zeros(recipe.features, requires_grad=True)
    optimiser = torch.optim.Adam([w_enc, b_enc, w_dec], lr=recipe.rate, betas=(0.9, 0.999))
    silent = torch.zeros(recipe.features, dtype=torch.long)
    with torch.enable_grad():
        for step in range(recipe.steps):
            optimiser.param_groups[0]["lr"] = recipe.rate * min(1.0, (recipe.steps - step) / (0.2 * recipe.steps))
            batch = y[torch.randint(len(y), (recipe.batch,), generator=generator)]
            z = batch @ w_enc + b_enc
            f = _top(z, recipe.active)
            left = batch - f @ w_dec
            loss = left.square().sum(1).mean()
            dead = silent >= recipe.patience
            if bool(dead.any()):
                loss = loss + _auxiliary(z, dead, left.detach(), w_dec, recipe.auxiliary) / 32
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                w_dec /= w_dec.norm(dim=1, keepdim=True).clamp(min=1e-12)
                silent = torch.where((f > 0).any(0), 0, silent + 1)
            report(step + 1, recipe.steps)
    return w_enc, b_enc, w_dec


def _auxiliary(z: Tensor, dead: Tensor, left: Tensor, w_dec: Tensor, k: int) -> Tensor:
    """How badly the strongest dead features explain what the live ones left over."""
    f = _top(z.masked_fill(~dead, -math.inf), min(k, int(dead.sum())))
    return (left - f @ w_dec).square().sum(1).mean()


def strongest_examples(
    dictionary: Dictionary,
    x: Tensor,
    owners: Sequence[tuple[int, int]],
    names: Sequence[str],
    text: Callable[[int, int], tuple[str, str]],
    *,
    each: int = 3,
) -> tuple[tuple[Example, ...], ...]:
    """By feature, the `each` different tokens in context of x [n, d] on which it fires most.

    `owners[n]` is (document, token) of x[n]; `names` are the documents' ids; `text(document, token)` gives the token
    and what comes before it.
    """
    pool = 8 * each  # corpora repeat themselves: look further than `each` for different contexts
    top = torch.zeros((pool, dictionary.w_dec.shape[0]))
    where = torch.zeros((pool, dictionary.w_dec.shape[0]), dtype=torch.long)
    for start in range(0, len(x), 8192):
        values, places = torch.cat([top, dictionary.encode(x[start : start + 8192])]).topk(pool, dim=0)
        before = where.gather(0, places.clamp(max=pool - 1))
        where = torch.where(places < pool, before, places - pool + start)
        top = values

    def example(place: int, value: float) -> Example:
        document, token = owners[place]
        shown, before = text(document, token)
        return Example(document=names[document], token=shown, before=before, activation=round(value, 4))

    def distinct(places: list[int], values: list[float]) -> tuple[Example, ...]:
        seen: dict[tuple[str, str], Example] = {}
        for n, value in zip(places, values, strict=True):
            one = example(n, value)
            if value > 0:
                seen.setdefault((one.before, one.token), one)
        return tuple(seen.values())[:each]

    return tuple(distinct(*column) for column in zip(where.T.tolist(), top.T.tolist(), strict=True))
