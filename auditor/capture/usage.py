"""Tokens of one call in one arithmetic, whatever the dialect (records.messages.Usage).

OpenAI: `prompt_tokens` / `input_tokens` already include what came from the cache; reasoning is part of the output.
Anthropic: `input_tokens` excludes the cache, so `cache_read_input_tokens` and `cache_creation_input_tokens` are added.
Sources: the usage objects of the OpenAI and Anthropic API references; DeepSeek's `prompt_cache_hit_tokens`.
"""

from collections.abc import Callable, Mapping

from auditor.records.messages import Usage

_MOST = 2**53
Counts = Mapping[str, object]


def tokens(dialect: str | None, usage: Counts) -> Usage | None:
    """The usage a provider sent, normalised; None for a dialect without a reading or a usage that counts nothing."""
    read = _READERS.get(dialect or "")
    found = read(usage) if read is not None and usage else None
    return None if found is None or found == Usage() else found


def count(usage: object, *names: str) -> int | None:
    """The first of these fields that holds a whole number of at least zero; None otherwise."""
    if not isinstance(usage, Mapping):
        return None
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
            return value
    return None


def _chat(usage: Counts) -> Usage:
    """Chat completions, completions and embeddings."""
    before, after = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = count(before, "cached_tokens")
    return Usage(
        input=count(usage, "prompt_tokens"),
        output=count(usage, "completion_tokens"),
        cache_read=cached if cached is not None else count(usage, "prompt_cache_hit_tokens"),
        cache_write=count(before, "cache_write_tokens"),
        reasoning=count(after, "reasoning_tokens"),
    )


def _responses(usage: Counts) -> Usage:
    before, after = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        input=count(usage, "input_tokens"),
        output=count(usage, "output_tokens"),
        cache_read=count(before, "cached_tokens"),
        cache_write=count(before, "cache_write_tokens"),
        reasoning=count(after, "reasoning_tokens"),
    )


def _anthropic(usage: Counts) -> Usage:
    fresh = count(usage, "input_tokens")
    read, written = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    if written is None:
        written = _written(usage.get("cache_creation"))
    whole = None if fresh is None else fresh + (read or 0) + (written or 0)
    return Usage(
        input=whole if whole is None or whole <= _MOST else None,
        output=count(usage, "output_tokens"),
        cache_read=read,
        cache_write=written,
        reasoning=count(usage.get("output_tokens_details"), "thinking_tokens", "reasoning_tokens"),
    )


def _written(creation: object) -> int | None:
    """Cache tokens written, where only their division by lifetime is given."""
    parts = [count(creation, "ephemeral_5m_input_tokens"), count(creation, "ephemeral_1h_input_tokens")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


_READERS: dict[str, Callable[[Counts], Usage]] = {
    "openai_chat": _chat,
    "openai_completions": _chat,
    "openai_embeddings": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _anthropic,
}
