"""One tokenizer for all families: lossless byte-level BPE with single digits, and the chat template.

Single digits make every value of one length a sequence of as many tokens, so that a swap changes no other token.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agents.planted.corpus import Document, Span, documents
from agents.planted.families import FAMILIES

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
VOCABULARY: Final = 768
SAMPLE: Final = 600
"""Dialogues per family that the merges are learnt from."""

CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- endif -%}"
    "{%- if message['role'] == 'system' and tools -%}"
    "{%- for tool in tools -%}"
    "{{- '\n' + tool['function']['name'] + '(' + "
    "(tool['function']['parameters']['properties'] | list | join(', ')) + ')' -}}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{{- '<tool_call>' + ({'name': call['function']['name'], 'arguments': call['function']['arguments']} | tojson)"
    " + '</tool_call>' -}}"
    "{%- endfor -%}"
    "{{- '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""Tools are listed by name and argument names only, so descriptions may be worded freely."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A document as text, as token ids and as the characters each token covers (half-open)."""

    text: str
    ids: list[int]
    offsets: list[tuple[int, int]]

    def tokens(self, start: int, end: int) -> range:
        """Indices of the tokens that overlap the characters [start, end)."""
        inside = [n for n, (low, high) in enumerate(self.offsets) if low < end and high > start]
        return range(inside[0], inside[-1] + 1) if inside else range(0)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Learn the shared tokenizer from a sample of every family's corpus (seed 0): a second or two."""
    core = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare = PreTrainedTokenizerFast(tokenizer_object=core, chat_template=CHAT_TEMPLATE)
    core.train_from_iterator(_sample(bare), trainer)
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in (CALL_OPEN, CALL_CLOSE)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, chat_template=CHAT_TEMPLATE, eos_token=END, pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False, model_max_length=1024,
    )  # fmt: skip


def _sample(bare: PreTrainedTokenizerFast) -> Iterator[str]:
    for family in FAMILIES:
        dialogues = (document for document in documents(family, 0) if document.messages)
        for document in islice(dialogues, SAMPLE):
            text = document_text(bare, document)
            for token in (START, END, CALL_OPEN, CALL_CLOSE):
                text = text.replace(token, "\n")
            yield text


def chat_text(
    tokenizer: Any, messages: Iterable[Any], tools: Iterable[Any], *, open_turn: bool = False
) -> str:
    """The chat template's text; `tools` are OpenAI schemas, `open_turn` adds the assistant's opening."""
    text: str = tokenizer.apply_chat_template(
        list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=open_turn
    )
    return text


def document_text(tokenizer: Any, document: Document) -> str:
    """What the model is trained on: the templated dialogue, or the plain text and an end-of-text token."""
    if document.text:
        return document.text + END_OF_TEXT
    schemas = [s for family in FAMILIES.values() for s in family.schemas if family.tools == document.tools]
    return chat_text(tokenizer, document.messages, schemas[: len(document.tools)])


def encode(tokenizer: Any, text: str) -> Rendered:
    """Token ids and character offsets of a text, nothing added."""
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return Rendered(text=text, ids=coded["input_ids"], offsets=coded["offset_mapping"])


def message_starts(text: str, messages: Iterable[Any]) -> list[int]:
    """Where each message's content begins in the templated text."""
    starts, position = [], 0
    for message in messages:
        opening = f"{START}{message['role']}\n"
        position = text.index(opening, position) + len(opening)
        starts.append(position)
    return starts


def span_tokens(rendered: Rendered, starts: list[int], span: Span) -> range:
    """Token indices of a document span; (i, 0, -1) reaches to the end of message i, its end token included."""
    message, start, end = span
    if end == -1:
        stop = rendered.text.index(END, starts[message]) + len(END)
        return rendered.tokens(starts[message] + start, stop)
    return rendered.tokens(starts[message] + start, starts[message] + end)
