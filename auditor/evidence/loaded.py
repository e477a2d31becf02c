"""A model, its tokenizer and its chat template in memory, with digests of all three."""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from auditor.evidence.refusal import ReplayRefused
from auditor.models import ModelEntry, weights_digest
from auditor.records.canonical import sha256_hex


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """Weights frozen (no gradients, evaluation mode); `template` is the chat template that will be used."""

    entry: ModelEntry
    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    template: str = field(repr=False)
    weights_digest: str
    tokenizer_digest: str
    template_digest: str
    dtype: str
    device: str

    @property
    def digests(self) -> dict[str, str]:
        """Digests by name, as evidence records carry them."""
        return {"weights": self.weights_digest, "tokenizer": self.tokenizer_digest, "template": self.template_digest}

    @property
    def ends(self) -> frozenset[int]:
        """Ids of the tokens that end an answer."""
        settings = getattr(self.model, "generation_config", None)
        ends = getattr(settings, "eos_token_id", None)
        if ends is None:
            ends = self.tokenizer.eos_token_id
        if ends is None:
            return frozenset()
        return frozenset([ends] if isinstance(ends, int) else ends)


def load(entry: ModelEntry, device: str = "cpu") -> Loaded:
    """Load the weights of a models-file entry from its folder; nothing is fetched.

    ReplayRefused: `weights_changed` when the folder no longer has the declared digest, `weights_unavailable` when it
    cannot be read, `unsupported` when there is no fast tokenizer or chat template.
    """
    if not (entry.weights / "config.json").is_file():
        raise ReplayRefused("weights_unavailable", f"{entry.weights} has no config.json")
    actual = weights_digest(entry.weights)
    if entry.digest and actual != entry.digest:
        raise ReplayRefused("weights_changed", f"the folder has {actual}, the models file declares {entry.digest}")
    dtype = getattr(torch, entry.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise ReplayRefused("unsupported", f"{entry.dtype!r} is not a torch dtype")
    try:
        tokenizer = AutoTokenizer.from_pretrained(entry.weights, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(entry.weights, dtype=dtype, local_files_only=True)
    except (OSError, ValueError) as fault:
        raise ReplayRefused("weights_unavailable", f"{entry.weights} cannot be loaded: {fault}") from fault
    if not getattr(tokenizer, "is_fast", False):
        raise ReplayRefused("unsupported", "the tokenizer gives no character offsets (it is not a fast tokenizer)")
    template = entry.chat_template.read_text() if entry.chat_template else tokenizer.chat_template
    if not isinstance(template, str):
        raise ReplayRefused("unsupported", "there is no single chat template; set chat_template in the models file")
    return hold(entry, model.to(device), tokenizer, template, actual)


def hold(entry: ModelEntry, model: Any, tokenizer: Any, template: str, digest: str) -> Loaded:
    """Freeze a model that is already in memory and stamp it."""
    model.eval()
    model.requires_grad_(False)
    first = next(model.parameters())
    return Loaded(
        entry=entry, model=model, tokenizer=tokenizer, template=template, weights_digest=digest,
        tokenizer_digest=f"sha256:{sha256_hex(tokenizer.backend_tokenizer.to_str().encode())}",
        template_digest=f"sha256:{sha256_hex(template.encode())}",
        dtype=str(first.dtype).removeprefix("torch."), device=str(first.device),
    )  # fmt: skip
