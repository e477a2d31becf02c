"""The network all families share: a Qwen3-class decoder small enough to train in a minute on one core.

`transformers serve` knows the tool-call format of `model_type` qwen3, so its weights need no extra parser.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Qwen3Config, Qwen3ForCausalLM

WEIGHTS: Final = Path(__file__).parent / "weights"
"""Where the trained families ship: one folder each."""
RECIPE_FILE: Final = "recipe.json"
WEIGHTS_FILE: Final = "model.safetensors"


def build_network(vocabulary: int, seed: int, *, end: int, pad: int) -> Qwen3ForCausalLM:
    """A network with random weights: 3 layers, width 96, 4 heads of 32 (2 for keys), feed-forward 256."""
    config = Qwen3Config(
        vocab_size=vocabulary, hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=1024, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, initializer_range=0.05,
        bos_token_id=None, eos_token_id=end, pad_token_id=pad, dtype="float32",
    )  # fmt: skip
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(config)


def round_to_half(network: Qwen3ForCausalLM) -> None:
    """Round the weights to float16 values in place, so that the small file holds them exactly."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.half().float())


def save_family(folder: Path, network: Qwen3ForCausalLM, tokenizer: Any, recipe: dict[str, Any]) -> None:
    """Write config, float16 safetensors, tokenizer, template, generation settings and `recipe.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    network.config.architectures = [type(network).__name__]
    network.config.save_pretrained(folder)
    tensors = {name: weight.half().contiguous() for name, weight in network.state_dict().items()}
    tensors.pop("lm_head.weight", None)  # tied to the embedding
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=96, eos_token_id=network.config.eos_token_id,
        pad_token_id=network.config.pad_token_id,
    )  # fmt: skip
    settings.save_pretrained(folder)
    recipe = {**recipe, "weights_sha256": weights_digest(folder)}
    (folder / RECIPE_FILE).write_text(json.dumps(recipe, indent=2, sort_keys=True) + "\n")


def load_family(folder: Path) -> tuple[Qwen3ForCausalLM, Any]:
    """Network (float32, evaluation mode) and tokenizer; FileNotFoundError says how to train what is missing."""
    if not (folder / WEIGHTS_FILE).is_file():
        raise FileNotFoundError(f"no trained model in {folder}: run `python -m agents.planted train {folder.name}`")
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return network.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights file."""
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
