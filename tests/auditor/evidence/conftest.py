"""A tiny random model with its own tokenizer and chat template, and questions about conversations with it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from auditor.evidence.loaded import Loaded, load
from auditor.evidence.protocol import Question
from auditor.models import ModelEntry, weights_digest
from auditor.records.messages import Message, Span, Text, ToolCall, ToolResult, part_text, place
from auditor.records.structure import Claim, ModelCall, Structure, ValueLink, claim_id

TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- endif -%}"
    "{%- if message['role'] == 'system' and tools -%}"
    "{%- for tool in tools -%}{{- '\n' + tool['function']['name'] -}}{%- endfor -%}{%- endif -%}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{{- '<tool_call>' + ({'name': call['function']['name'], 'arguments': call['function']['arguments']} | tojson)"
    " + '</tool_call>' -}}{%- endfor -%}"
    "{{- '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
SENTENCES = [
    "You answer with the shop tools.", "What is the price of the lamp times 3?", '{"price": 42}', '{"item": "lamp"}',
    "According to the lookup, the price of the lamp is 42.", "Step 1: 34 + 5 = 39.\nAnswer: the chair ends at 46.",
]  # fmt: skip


def build_tokenizer(template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(SENTENCES * 5, trainer)
    core.add_tokens([AddedToken(t, special=False, normalized=False) for t in ("<tool_call>", "</tool_call>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, chat_template=template, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False, model_max_length=1024,
    )  # fmt: skip


def build_model(family: str, vocabulary: int, seed: int = 0, dtype: str = "float32") -> Any:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024,
        "initializer_range": 0.08, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0, "dtype": dtype,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**sizes)) if family == "llama" else Qwen3ForCausalLM(Qwen3Config(**sizes))
    return model.to(getattr(torch, dtype)).eval()


@dataclass(frozen=True, kw_only=True)
class Kit:
    """Makes questions: `ask` places messages, `find` gives the span of a text in a message."""

    loaded: Loaded
    kept: dict[str, bytes] = field(default_factory=dict)

    def keep(self, data: bytes) -> str:
        address = f"payload-{len(self.kept)}"
        self.kept[address] = data
        return address

    def arm(self, address: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.kept[address])
        return rows

    def ask(
        self,
        inputs: Sequence[Message],
        output: Message,
        claims: Callable[["Conversation"], Sequence[Claim]] = lambda talk: (),
        links: Callable[["Conversation"], Sequence[ValueLink]] = lambda talk: (),
        *,
        settings: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        tools: tuple[dict[str, Any], ...] = (),
        digest: str = "unknown",
    ) -> Question:
        placed = place([*inputs, output])
        talk = Conversation(ids=tuple(p.id for p in placed), messages=tuple(p.message for p in placed))
        call = ModelCall(
            id="call", record="record", model="tiny", model_digest=digest, dialect="openai_chat", inputs=talk.ids[:-1],
            outputs=talk.ids[-1:], tools=None, settings={"temperature": 1.0} if settings is None else settings, at=None,
        )  # fmt: skip
        structure = Structure(
            run="run", version=1, code="structure@1", agent="react", model="tiny", origin="proxy", records=(),
            messages=(), calls=(call,), steps=(), claims=tuple(claims(talk)), links=tuple(links(talk)), findings=(),
        )  # fmt: skip
        return Question(
            structure=structure, call=call, claims=structure.claims,
            messages=dict(zip(talk.ids, talk.messages, strict=True)),
            tools=tools, model=self.loaded.entry, seed_key="key", keep=self.keep, options=options or {},
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Conversation:
    ids: tuple[str, ...]
    messages: tuple[Message, ...]

    def find(self, message: int, text: str, part: int = 0, pointer: str | None = None) -> Span:
        whole = part_text(self.messages[message].parts[part])
        start = len(whole[: whole.index(text)].encode())
        size = len(text.encode())
        return Span(message=self.ids[message], part=part, start=start, end=start + size, pointer=pointer)

    def claim(self, sources: Sequence[Span], target: Span, type: Any = "tool_answer") -> Claim:
        return Claim(
            id=claim_id(type, tuple(sources), target, "depends_on"), type=type, status="stated", relation="depends_on",
            sources=tuple(sources), target=target, source_step="s", target_step="t", call="call", found_by="test",
            text="claim",
        )  # fmt: skip


def save(folder: Path, family: str = "qwen3", template: str = TEMPLATE, dtype: str = "float32") -> Loaded:
    tokenizer = build_tokenizer(template)
    build_model(family, len(tokenizer), dtype=dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(ModelEntry(name="tiny", weights=folder, digest=weights_digest(folder), dtype=dtype))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", params=["qwen3", "llama"])
def kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return Kit(loaded=save(tmp_path_factory.mktemp("weights"), request.param))


@pytest.fixture(scope="session", params=["qwen3", "llama"])
def kit64(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return Kit(loaded=save(tmp_path_factory.mktemp("weights64"), request.param, dtype="float64"))


@pytest.fixture(scope="session")
def saved() -> Callable[..., Loaded]:
    return save


@pytest.fixture(scope="session")
def kit_of() -> Callable[[Loaded], Kit]:
    return lambda loaded: Kit(loaded=loaded)


def _shop(kit: Kit, price: str = "42", **more: Any) -> Question:
    inputs = [
        Message(role="system", parts=(Text(text="You answer with the shop tools."),)),
        Message(role="user", parts=(Text(text="What is the price of the lamp times 3? Ticket 57."),)),
        Message(role="assistant", parts=(ToolCall(call_id="c1", name="lookup", arguments='{"item": "lamp"}'),)),
        Message(role="tool", parts=(ToolResult(call_id="c1", name=None, text=f'{{"price": {price}}}'),)),
    ]
    output = Message(
        role="assistant", parts=(Text(text=f"According to the lookup, the price of the lamp is {price}."),)
    )

    def claims(talk: Conversation) -> list[Claim]:
        target = talk.find(4, price)
        return [
            talk.claim([talk.find(3, price, pointer="/price")], target),
            talk.claim([talk.find(1, "3")], target, "prompt_answer"),
        ]

    def links(talk: Conversation) -> list[ValueLink]:
        return [ValueLink(earlier=talk.find(3, price), later=talk.find(4, price), value=price, rule="copy")]

    return kit.ask(inputs, output, claims, links, **more)


@pytest.fixture(scope="session")
def shop() -> Callable[..., Question]:
    """A look-up and its answer, with a claim on the tool's price and one on the question's 3."""
    return _shop
