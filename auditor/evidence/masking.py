"""Whether single tokens can be hidden from later ones. Torch-free."""

from typing import Any


def no_masks(replay: Any) -> str:
    """Why attention cannot be masked token by token in this architecture; empty when it can."""
    config = replay.model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    if kinds <= {"full_attention"}:
        return ""
    if kinds <= {"full_attention", "sliding_attention"} and window and len(replay.ids) <= window:
        return ""
    return "the model has layers (sliding windows, linear attention) in which a token cannot be hidden by a mask"
