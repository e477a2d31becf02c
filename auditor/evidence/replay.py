"""One recorded model call, run again exactly or not at all.

`replay(question, loaded)` renders the recorded messages with the model's chat template (see rendering), forces the
recorded output through the model once, and compares. What it gives is enough for every observational method; methods
that intervene start from its keys and values.

Compared are: the recorded tokens with the model's own choices where the call was greedy, the recorded
log-probabilities where there are any, and for sampled calls whether the output is at all plausible. `noise_floor` is
the largest difference of a log-probability between identical passes in other batch shapes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from auditor.evidence.loaded import Loaded, load
from auditor.evidence.passes import Keys, forward, log_probs
from auditor.evidence.protocol import Question
from auditor.evidence.refusal import ReplayRefused
from auditor.evidence.rendering import Rendering, Template, render
from auditor.records.evidence import Fidelity, TokenRange
from auditor.records.exchange import MASKED
from auditor.records.messages import Message, Span, ToolCall, ToolResult, part_text

__all__ = ["Decision", "Loaded", "Piece", "Replay", "ReplayRefused", "load", "replay"]

LEAST_TOLERANCE = 1e-3
"""Nats. A greedy choice may differ from the recorded one when the two are closer than this, or 10 noise floors."""
LARGEST_GAP = 0.5
"""Nats per token between recorded and replayed log-probability (serving engines differ; other weights differ more)."""
IMPLAUSIBLE = 6.0
"""Standard deviations of surprise beyond which a sampled output cannot have come from these weights."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The tokens of a target: their positions in Replay.ids and their ids. Position p is predicted by row p - 1."""

    span: Span
    positions: tuple[int, ...]
    ids: tuple[int, ...]
    tokens: TokenRange
    characters: tuple[int, int]
    """Where the decision stands in Replay.text."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A whole message part and its tokens."""

    message: str
    part: int
    role: str
    span: Span
    tokens: TokenRange
    in_output: bool


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Token ids of a prompt and an output, and the characters [start, end) of the text each covers."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    prompt_length: int

    def covering(self, start: int, end: int) -> tuple[int, int]:
        """Tokens [first, last) that overlap the characters [start, end); an empty range where none does."""
        inside = [n for n, (low, high) in enumerate(self.offsets) if low < end and high > start]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Replay:
    """A recorded call as the model saw it. T tokens, the last ones the recorded output; V vocabulary."""

    question: Question
    loaded: Loaded
    rendering: Rendering
    encoded: Encoded
    ids: torch.Tensor
    """[T] token ids on the model's device."""
    output: range
    """Positions of the recorded output's tokens, the end token included where the model wrote one."""
    logits: torch.Tensor
    """[len(output), V]: row i predicts token output.start + i; float32 (float64 for float64 models)."""
    keys: Keys | None
    """Keys and values of all T tokens, None where this architecture cannot reuse them exactly."""
    fidelity: Fidelity
    notes: tuple[str, ...]
    """Sentences a reader should know, e.g. that message text contained control tokens."""

    @property
    def model(self) -> Any:
        return self.loaded.model

    @property
    def tokenizer(self) -> Any:
        return self.loaded.tokenizer

    @property
    def device(self) -> torch.device:
        return self.ids.device

    @property
    def digests(self) -> dict[str, str]:
        return self.loaded.digests

    @property
    def text(self) -> str:
        """Prompt and output as rendered."""
        return self.rendering.text

    @property
    def noise_floor(self) -> float:
        """Nats per token."""
        return self.fidelity.noise_floor

    def characters_of(self, span: Span) -> tuple[int, int]:
        """Characters [start, end) of `text` that a recorded span became; ReplayRefused where it cannot be known."""
        message = self.question.messages.get(span.message)
        if message is None or span.part >= len(message.parts):
            raise ReplayRefused("unsupported", f"message {span.message[:12]} part {span.part} is not in this run")
        raw = part_text(message.parts[span.part]).encode()
        try:
            start = len(raw[: span.start].decode())
            end = start + len(raw[span.start : span.end].decode())
        except UnicodeDecodeError as fault:
            raise ReplayRefused("unsupported", f"the span of part {span.part} cuts a character") from fault
        return self.rendering.characters(span.message, span.part, start, end)

    def tokens_of(self, span: Span) -> TokenRange:
        """Tokens that overlap a recorded span; `shared` when an end token also covers text outside it."""
        return self.token_range(*self.characters_of(span))

    def token_range(self, start: int, end: int) -> TokenRange:
        """Tokens that overlap the characters [start, end) of `text`."""
        first, last = self.encoded.covering(start, end)
        if first == last:
            raise ReplayRefused("unsupported", "no token covers the span")
        shared = self.encoded.offsets[first][0] < start or self.encoded.offsets[last - 1][1] > end
        return TokenRange(start=first, end=last, tokenizer_digest=self.loaded.tokenizer_digest, shared=shared)

    def decision(self, span: Span) -> Decision:
        """The decision tokens of a target in this call's output; ReplayRefused when it lies elsewhere."""
        low, high = self.characters_of(span)
        tokens = self.token_range(low, high)
        if tokens.start < self.output.start or tokens.end > self.output.stop:
            raise ReplayRefused("unsupported", "the target is not in the output of this call")
        positions = tuple(range(tokens.start, tokens.end))
        ids = tuple(int(self.ids[p]) for p in positions)
        return Decision(span=span, positions=positions, ids=ids, tokens=tokens, characters=(low, high))

    def logits_at(self, positions: Sequence[int]) -> torch.Tensor:
        """[len(positions), V] logits that predict the output tokens at these positions (row p - 1 of the pass)."""
        return self.logits[[p - self.output.start for p in positions]]

    def token_text(self, position: int) -> str:
        """The characters a token covers."""
        low, high = self.encoded.offsets[position]
        return self.text[low:high]

    def prompt_pieces(self) -> tuple[Piece, ...]:
        """Every message part that is shown to the model, in order, with its tokens."""
        return tuple(piece for piece in self.spans_of_parts() if not piece.in_output)

    def spans_of_parts(self) -> tuple[Piece, ...]:
        """Whole-part spans of prompt and output; parts that are not shown (or cannot be placed) are left out."""
        found: list[Piece] = []
        for ident in (*self.question.call.inputs, *self.question.call.outputs[:1]):
            message = self.question.messages[ident]
            for index, part in enumerate(message.parts):
                size = len(part_text(part).encode())
                span = Span(message=ident, part=index, start=0, end=size)
                try:
                    tokens = self.tokens_of(span)
                except ReplayRefused:
                    continue
                found.append(
                    Piece(
                        message=ident, part=index, role=message.role, span=span, tokens=tokens,
                        in_output=tokens.start >= self.output.start,
                    )
                )  # fmt: skip
        return tuple(found)

    def encode(self, text: str, output_start: int) -> Encoded:
        """Tokens of an edited text, cut between prompt and output as the recorded one was."""
        tail = self._tail
        if tail is not None and text.endswith(tail) and len(text) - output_start == self._output_characters:
            # everything from the last control token on is as recorded, and is tokenised by itself
            whole = self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
            after = sum(low >= output_start for low, _ in whole.offsets[-len(tail) :])
            return Encoded(ids=tuple(whole.ids), offsets=tuple(whole.offsets), prompt_length=len(whole.ids) - after)
        return encode(self.tokenizer, text, output_start)

    @property
    def _output_characters(self) -> int:
        return len(self.text) - self.rendering.output_start

    @cached_property
    def _tail(self) -> str | None:
        """The recorded text from the prompt's last control token on; None where both were encoded apart."""
        start = self.rendering.output_start
        places = [self.text.rfind(token, 0, start) for token in self.tokenizer.all_special_tokens if token]
        last = max(places, default=-1)
        core = self.tokenizer.backend_tokenizer
        prompt = core.encode(self.text[:start], add_special_tokens=False).ids
        joint = core.encode(self.text, add_special_tokens=False).ids[: len(prompt)] == prompt
        return self.text[last:] if last >= 0 and joint else None


def encode(tokenizer: Any, text: str, output_start: int) -> Encoded:
    """Tokens of prompt and output. A model never merges its output with its prompt: where the tokenizer would, both
    are encoded apart."""
    core = tokenizer.backend_tokenizer
    prompt = core.encode(text[:output_start], add_special_tokens=False)
    whole = core.encode(text, add_special_tokens=False)
    size = len(prompt.ids)
    if whole.ids[:size] == prompt.ids:
        return Encoded(ids=tuple(whole.ids), offsets=tuple(whole.offsets), prompt_length=size)
    output = core.encode(text[output_start:], add_special_tokens=False)
    shifted = [(low + output_start, high + output_start) for low, high in output.offsets]
    return Encoded(ids=(*prompt.ids, *output.ids), offsets=(*prompt.offsets, *shifted), prompt_length=size)


def replay(question: Question, loaded: Loaded) -> Replay:
    """Replay the call of a question. ReplayRefused carries one of: `weights_changed`, `replay_mismatch`,
    `redacted`, `unsupported`."""
    call = question.call
    if call.model_digest != "unknown" and call.model_digest != loaded.weights_digest:
        raise ReplayRefused(
            "weights_changed", f"recorded with {call.model_digest}, the folder now has {loaded.weights_digest}"
        )
    inputs = [(ident, _message(question, ident)) for ident in call.inputs]
    if not call.outputs:
        raise ReplayRefused("unsupported", "the call has no recorded output")
    output = (call.outputs[0], _message(question, call.outputs[0]))
    kwargs = call.settings.get("chat_template_kwargs")
    if MASKED.search(json.dumps([*question.tools, kwargs])):
        raise ReplayRefused("redacted", "part of the call's tools or template was masked before it was recorded")
    template = Template(loaded.tokenizer, loaded.template, question.tools, kwargs)
    rendering = render(inputs, output, template, loaded.tokenizer.eos_token or "")
    encoded = _cut(encode(loaded.tokenizer, rendering.text, rendering.output_start), rendering, loaded)
    return _forced(question, loaded, rendering, encoded)


def _message(question: Question, ident: str) -> Message:
    message = question.messages.get(ident)
    if message is None:
        raise ReplayRefused("redacted", f"message {ident[:12]} of the call is no longer in the ledger")
    names = [part.name or "" for part in message.parts if isinstance(part, (ToolCall, ToolResult))]
    if any(MASKED.search(text) for text in (*map(part_text, message.parts), *names)):
        raise ReplayRefused("redacted", f"part of message {ident[:12]} was masked before it was recorded")
    return message


def _cut(encoded: Encoded, rendering: Rendering, loaded: Loaded) -> Encoded:
    """Drop what the template writes after the end token, which the model never wrote."""
    written = [item.shown[-1] for items in rendering.placed.values() for item in items]
    last = max([end for end in written if end > rendering.output_start], default=rendering.output_start)
    stop = None
    for n in range(encoded.prompt_length, len(encoded.ids)):
        if encoded.offsets[n][0] >= last and encoded.ids[n] in loaded.ends:
            stop = n + 1
            break
    if stop is None:
        stop = max((n + 1 for n, (low, _) in enumerate(encoded.offsets) if low < last), default=0)
    if stop <= encoded.prompt_length:
        raise ReplayRefused("unsupported", "the recorded output has no tokens")
    return Encoded(ids=encoded.ids[:stop], offsets=encoded.offsets[:stop], prompt_length=encoded.prompt_length)


def _forced(question: Question, loaded: Loaded, rendering: Rendering, encoded: Encoded) -> Replay:
    """Run the recorded tokens through the model, and check."""
    ids = torch.tensor(encoded.ids, device=next(loaded.model.parameters()).device)
    limit = getattr(loaded.model.config, "max_position_embeddings", None)
    if limit is not None and len(ids) > limit:
        raise ReplayRefused("unsupported", f"the call has {len(ids)} tokens, the model can see {limit}")
    start, stop = encoded.prompt_length, len(encoded.ids)
    rows = range(start - 1, stop - 1)
    first = forward(loaded.model, ids[None], rows=rows, keep=True)
    recorded = log_probs(first.logits[0], ids[start:])
    noise, exact = _noise(loaded.model, ids, rows, recorded, first.keys)
    stop, agreement = _compare(question, loaded, ids, start, first.logits[0], max(LEAST_TOLERANCE, 10 * noise))
    agreed = range(start, stop)
    gap = _logprob_gap(question, recorded)
    fidelity = Fidelity(
        tokens=len(agreed), argmax_agreement=agreement, max_logprob_gap=gap, noise_floor=noise,
        weights_digest=loaded.weights_digest, tokenizer_digest=loaded.tokenizer_digest,
        template_digest=loaded.template_digest, dtype=loaded.dtype, device=loaded.device,
    )  # fmt: skip
    return Replay(
        question=question, loaded=loaded, rendering=rendering,
        encoded=Encoded(ids=encoded.ids[:stop], offsets=encoded.offsets[:stop], prompt_length=start),
        ids=ids[:stop], output=agreed, logits=first.logits[0, : stop - start],
        keys=first.keys.prefix(stop) if first.keys is not None and exact else None, fidelity=fidelity,
        notes=_notes(question, loaded),
    )  # fmt: skip


def _notes(question: Question, loaded: Loaded) -> tuple[str, ...]:
    special = [token for token in loaded.tokenizer.all_special_tokens if token]
    texts = [part_text(part) for ident in question.call.inputs for part in question.messages[ident].parts]
    if any(token in text for text in texts for token in special):
        return ("Message text contained control tokens; as at the server, they became real ones.",)
    return ()


def _logprob_gap(question: Question, replayed: torch.Tensor) -> float | None:
    """Largest difference from the recorded log-probabilities, None where there are none."""
    recorded = question.call.logprobs
    if not recorded:
        return None
    size = min(len(recorded), len(replayed))
    if abs(len(recorded) - len(replayed)) > 1:  # the end token may or may not be listed
        raise ReplayRefused("replay_mismatch", f"{len(recorded)} recorded tokens, {len(replayed)} replayed ones")
    gap = max(abs(float(a) - float(b)) for a, b in zip(recorded[:size], replayed[:size].tolist(), strict=True))
    if gap > LARGEST_GAP:
        raise ReplayRefused("replay_mismatch", f"a recorded log-probability differs by {gap:.2g} nats")
    return gap


def _noise(model: Any, ids: torch.Tensor, rows: range, recorded: torch.Tensor, keys: Keys | None) -> tuple[float, bool]:
    """Largest difference in nats between identical passes in other shapes, and whether prefix reuse is one of them."""
    targets = ids[rows.start + 1 :]
    stop = len(ids)

    def gap(logits: torch.Tensor) -> float:
        return float((log_probs(logits, targets) - recorded).abs().max())

    batch = forward(model, ids.expand(3, -1), rows=rows)
    padded = torch.cat([ids, ids[-1:].expand(5)])[None]
    mask = torch.cat([torch.ones(stop), torch.zeros(5)])[None].to(ids.device, torch.long)
    right = forward(model, padded, rows=rows, mask=mask)
    noise = max(gap(batch.logits[2]), gap(right.logits[0]))
    if keys is None:
        return noise, False
    half = max(1, rows.start // 2)
    reused = gap(forward(model, ids[None], past=keys.prefix(half), rows=rows).logits[0])
    exact = reused <= max(LEAST_TOLERANCE, 10 * noise)
    return (max(noise, reused), True) if exact else (noise, False)


def _greedy(question: Question, loaded: Loaded) -> bool:
    """Whether the recorded call took the most likely token every time, as far as settings tell."""
    temperature = question.call.settings.get("temperature")
    if isinstance(temperature, (int, float)):
        return temperature == 0
    return not getattr(getattr(loaded.model, "generation_config", None), "do_sample", False)


def _compare(
    question: Question, loaded: Loaded, ids: torch.Tensor, start: int, logits: torch.Tensor, tolerance: float
) -> tuple[int, float]:
    """End of the output (without an end token the model did not write) and the share of tokens that agree."""
    own = ids[start:]
    agree = logits.argmax(-1) == own
    gap = logits.amax(-1) - logits.gather(-1, own[:, None]).squeeze(-1)
    stop = len(ids)
    if int(own[-1]) in loaded.ends and len(own) > 1 and float(gap[-1]) > tolerance:
        stop, agree, gap, own, logits = stop - 1, agree[:-1], gap[:-1], own[:-1], logits[:-1]
    if _greedy(question, loaded):
        agree = gap <= tolerance  # two choices this close are one choice in another batch shape
    agreement = float(agree.double().mean())
    if _greedy(question, loaded):
        wrong = (gap > tolerance).nonzero().flatten().tolist()
        if wrong:
            text = loaded.tokenizer.decode([int(own[wrong[0]])])
            raise ReplayRefused(
                "replay_mismatch",
                f"{len(wrong)} of {len(own)} recorded tokens are not the model's choice, first {text!r} at {wrong[0]}",
            )
        return stop, agreement
    chances = logits.double().log_softmax(-1)
    surprise = -chances.gather(-1, own[:, None]).squeeze(-1)
    entropy = -(chances.exp() * chances).sum(-1)
    variance = (chances.exp() * chances**2).sum(-1) - entropy**2
    score = float((surprise - entropy).sum() / variance.clamp(min=1e-12).sum().add(1e-6).sqrt())
    if score > IMPLAUSIBLE:
        raise ReplayRefused("replay_mismatch", f"the sampled output is {score:.1f} deviations too surprising")
    return stop, agreement
