"""A model that looks prices up: it asks for the tool, reads the number the tool gave, and answers with it.

Speaks chat completions, Responses and Anthropic Messages, whole and streamed, as the request asks. What it says depends
on the request alone, except ids and token counts, which differ from call to call. Byte-exact through ScriptedUpstream.
"""

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

TOOL = "look_up"
_ITEM = re.compile(r"What does the (.+?) cost\?")
_EURO = re.compile(r"(\d+) euro")

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What the model says next: a tool call or an answer, after some thinking."""

    number: int
    thinking: str
    item: str | None
    call: tuple[str, Json] | None = None
    text: str = ""

    @property
    def call_id(self) -> str:
        return f"call_{self.number:05d}_abcdefghijkl"

    @property
    def arguments(self) -> str:
        assert self.call is not None
        return json.dumps(self.call[1])

    @property
    def usage(self) -> tuple[int, int, int, int]:
        """(input, of which cached, output, of which reasoning)."""
        return 200 + self.number, 64, 40 + self.number, 9


@dataclass(frozen=True, kw_only=True)
class Served:
    """One call as the model saw and answered it."""

    request: Any
    body: bytes
    reply: Any
    turn: Turn | None
    usage: tuple[int, int, int, int] | None
    """What the answer said of tokens, None where it did not."""
    reasons: bool
    item: str | None
    """What the question was about."""


@dataclass(kw_only=True)
class ScriptedModel:
    """The `script` of a ScriptedUpstream. `reply` is its Reply class."""

    reply: Callable[..., Any]
    served: list[Served] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self, received: Any) -> Any:
        path = received.line.split(b" ")[1].partition(b"?")[0].decode()
        dialect = next((one for end, one in _DIALECTS.items() if path.endswith(end)), None)
        if dialect is None or not received.line.startswith(b"POST "):
            return self.reply(status="404 Not Found", pieces=[b'{"error":{"message":"no such route"}}'])
        asked = json.loads(received.body)
        with self._lock:
            turn = self._remembered(asked, _next_turn(asked, next(self._numbers)))
            stream = bool(asked.get("stream"))
            said = dialect(asked, turn)
            pieces = list(said.stream()) if stream else [json.dumps(said.whole()).encode()]
            headers = [
                ("Content-Type", "text/event-stream; charset=utf-8" if stream else "application/json"),
                ("Date", "Sat, 21 Nov 2026 09:00:00 GMT"), ("Server", "scripted"),
                ("x-request-id", f"req_{turn.number:06d}"), ("X-RateLimit-Remaining-Tokens", "149984"),
                ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/"),
            ]  # fmt: skip
            reply = self.reply(headers=headers, pieces=pieces, chunked=stream)
            self.served.append(Served(
                request=received, body=b"".join(pieces), reply=reply, turn=turn,
                usage=turn.usage if said.tells_usage else None, reasons=said.reasons, item=turn.item,
            ))  # fmt: skip
            return reply


    def _remembered(self, asked: Json, turn: Turn) -> Turn:
        """A request that names the answer it continues need not say again what the question was about."""
        named = {f"resp_{one.turn.number:06d}": one.item for one in self.served if one.turn is not None}
        return turn if turn.item else replace(turn, item=named.get(asked.get("previous_response_id")))


def _next_turn(asked: Json, number: int) -> Turn:
    """Ask for the tool until a result is there; then answer with its number."""
    told = _results(asked)
    text = json.dumps(asked, ensure_ascii=False)
    item = next(iter(reversed(_ITEM.findall(text))), None)
    prices = _EURO.findall(told)
    tools = {_name(one) for one in asked.get("tools") or []}
    if (marked := _marked_turn(asked, number, item)) is not None:
        return marked
    if not prices:
        return Turn(number=number, thinking=f"The price of {item} must be looked up.", item=item,
                    call=(TOOL, {"item": item}))  # fmt: skip
    answer = f"It costs {prices[-1]} euro."
    thinking = f"The tool says {prices[-1]}."
    closing = _closing(asked, tools, prices[-1], answer)
    return Turn(number=number, thinking=thinking, item=item, call=closing, text="" if closing else answer)


def _closing(asked: Json, tools: set[str], price: str, answer: str) -> tuple[str, Json] | None:
    """Clients that want the answer itself as a tool call."""
    if "final_answer" in tools:
        return "final_answer", {"answer": answer}
    if "Offer" in tools:
        return "Offer", {"price": int(price)}
    return None


def _name(tool: Json) -> str:
    return str(tool.get("name") or (tool.get("function") or {}).get("name"))


def _results(asked: Json) -> str:
    """All that tools gave, whatever the dialect: result messages, and what users said after the model had spoken."""
    found: list[str] = []
    spoken = False
    for one in [*(asked.get("messages") or []), *(asked["input"] if isinstance(asked.get("input"), list) else [])]:
        spoken = spoken or one.get("role") == "assistant"
        if one.get("type") == "function_call_output" or (spoken and one.get("role") in ("tool", "user")):
            found.append(json.dumps(one))
    return "\n".join(found)


def _marked_turn(asked: Json, number: int, item: str | None) -> Turn | None:
    """DSPy's ReAct: fields of a text between marks, the trajectory so far in the question."""
    said = json.dumps(asked["messages"][0]) if asked.get("messages") else ""
    prices = _EURO.findall(json.dumps(asked.get("messages")))
    if "[[ ## next_tool_name ## ]]" in said:
        fields = {"next_thought": f"The price of {item} must be looked up.", "next_tool_name": TOOL,
                  "next_tool_args": json.dumps({"item": item})}  # fmt: skip
        if prices:
            fields = {"next_thought": f"The tool says {prices[-1]}.", "next_tool_name": "finish",
                      "next_tool_args": "{}"}  # fmt: skip
    elif "[[ ## answer ## ]]" in said and prices:
        fields = {"reasoning": f"The tool says {prices[-1]}.", "answer": f"It costs {prices[-1]} euro."}
    else:
        return None
    text = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items())
    return Turn(number=number, thinking="Fields are wanted.", item=item, text=f"{text}\n\n[[ ## completed ## ]]")


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


class _Chat:
    """Chat completions with `reasoning_content`, as vLLM and others give it."""

    reasons = True

    def __init__(self, asked: Json, turn: Turn) -> None:
        self.turn, self.asked = turn, asked
        self._wants = bool((asked.get("stream_options") or {}).get("include_usage"))
        self.tells_usage = self._wants or not asked.get("stream")

    def _base(self, kind: str) -> Json:
        return {"id": f"chatcmpl-{self.turn.number:06d}", "object": kind, "created": 1763000000,
                "model": self.asked["model"]}  # fmt: skip

    def _usage(self) -> Json:
        read, cached, wrote, reasoning = self.turn.usage
        return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {"reasoning_tokens": reasoning}}  # fmt: skip

    def whole(self) -> Json:
        turn = self.turn
        message: Json = {"role": "assistant", "content": turn.text or None, "reasoning_content": turn.thinking}
        if turn.call:
            message["tool_calls"] = [{"id": turn.call_id, "type": "function",
                                      "function": {"name": turn.call[0], "arguments": turn.arguments}}]  # fmt: skip
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if turn.call else "stop"}
        return {**self._base("chat.completion"), "choices": [choice], "usage": self._usage()}

    def stream(self) -> Iterator[bytes]:
        turn = self.turn
        yield self._chunk({"role": "assistant", "content": None if turn.call else ""})
        for half in _halves(turn.thinking):
            yield self._chunk({"reasoning_content": half})
        if turn.call:
            first = {"index": 0, "id": turn.call_id, "type": "function",
                     "function": {"name": turn.call[0], "arguments": ""}}  # fmt: skip
            yield self._chunk({"tool_calls": [first]})
            for half in _halves(turn.arguments):
                yield self._chunk({"tool_calls": [{"index": 0, "function": {"arguments": half}}]})
        for half in _halves(turn.text) if turn.text else ():
            yield self._chunk({"content": half})
        yield self._chunk({}, "tool_calls" if turn.call else "stop")
        if self._wants:
            yield _event({**self._base("chat.completion.chunk"), "choices": [], "usage": self._usage()})
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        usage = {"usage": None} if self._wants else {}
        return _event({**self._base("chat.completion.chunk"), "choices": [choice], **usage})


class _Responses:
    """Responses: a reasoning item with a summary, then a function call or a message; every event of its life."""

    reasons = tells_usage = True

    def __init__(self, asked: Json, turn: Turn) -> None:
        self.turn, self.asked = turn, asked

    def _thought(self) -> Json:
        item: Json = {"id": f"rs_{self.turn.number:06d}", "type": "reasoning",
                      "summary": [{"type": "summary_text", "text": self.turn.thinking}]}  # fmt: skip
        if "reasoning.encrypted_content" in (self.asked.get("include") or []):
            item["encrypted_content"] = "gAAAA" + f"{self.turn.number:06d}" * 12
        return item

    def _said(self) -> Json:
        turn = self.turn
        if turn.call:
            return {"id": f"fc_{turn.number:06d}", "type": "function_call", "status": "completed",
                    "call_id": turn.call_id, "name": turn.call[0], "arguments": turn.arguments}  # fmt: skip
        return {"id": f"msg_{turn.number:06d}", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}]}  # fmt: skip

    def whole(self, status: str = "completed") -> Json:
        done, asked = status == "completed", self.asked
        read, cached, wrote, reasoning = self.turn.usage
        usage = {"input_tokens": read, "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
                 "output_tokens": wrote, "output_tokens_details": {"reasoning_tokens": reasoning},
                 "total_tokens": read + wrote}  # fmt: skip
        return {"id": f"resp_{self.turn.number:06d}", "object": "response", "created_at": 1763000000, "status": status,
                "error": None, "incomplete_details": None, "instructions": asked.get("instructions"),
                "model": asked["model"], "output": [self._thought(), self._said()] if done else [],
                "parallel_tool_calls": True, "previous_response_id": asked.get("previous_response_id"),
                "reasoning": {"effort": "medium", "summary": "auto"}, "store": asked.get("store", True),
                "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
                "tools": asked.get("tools") or [], "top_p": 1.0, "truncation": "disabled",
                "usage": usage if done else None, "metadata": {}}  # fmt: skip

    def stream(self) -> Iterator[bytes]:
        for number, (name, data) in enumerate(self._events()):
            yield _event({"type": name, "sequence_number": number, **data}, name)

    def _events(self) -> Iterator[tuple[str, Json]]:
        yield "response.created", {"response": self.whole("in_progress")}
        yield "response.in_progress", {"response": self.whole("in_progress")}
        yield from self._thinking()
        yield from self._calling() if self.turn.call else self._talking()
        yield "response.completed", {"response": self.whole()}

    def _thinking(self) -> Iterator[tuple[str, Json]]:
        item = self._thought()
        at = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
        part = {"type": "summary_text", "text": self.turn.thinking}
        yield "response.output_item.added", {"output_index": 0, "item": {**item, "summary": []}}
        yield "response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
        for half in _halves(self.turn.thinking):
            yield "response.reasoning_summary_text.delta", {**at, "delta": half}
        yield "response.reasoning_summary_text.done", {**at, "text": self.turn.thinking}
        yield "response.reasoning_summary_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": 0, "item": item}

    def _calling(self) -> Iterator[tuple[str, Json]]:
        item = self._said()
        at = {"item_id": item["id"], "output_index": 1}
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield "response.output_item.added", {"output_index": 1, "item": begun}
        for half in _halves(self.turn.arguments):
            yield "response.function_call_arguments.delta", {**at, "delta": half}
        yield "response.function_call_arguments.done", {**at, "name": item["name"], "arguments": self.turn.arguments}
        yield "response.output_item.done", {"output_index": 1, "item": item}

    def _talking(self) -> Iterator[tuple[str, Json]]:
        item = self._said()
        at = {"item_id": item["id"], "output_index": 1, "content_index": 0}
        part = item["content"][0]
        begun = {**item, "status": "in_progress", "content": []}
        yield "response.output_item.added", {"output_index": 1, "item": begun}
        yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
        for half in _halves(self.turn.text):
            yield "response.output_text.delta", {**at, "delta": half, "logprobs": []}
        yield "response.output_text.done", {**at, "text": self.turn.text, "logprobs": []}
        yield "response.content_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": 1, "item": item}


class _Messages:
    """Anthropic Messages; thinks, with a signature, where the request asks for it."""

    tells_usage = True

    def __init__(self, asked: Json, turn: Turn) -> None:
        self.turn, self.asked = turn, asked
        self.reasons = (asked.get("thinking") or {}).get("type") in ("enabled", "adaptive")

    def _blocks(self) -> list[Json]:
        turn = self.turn
        blocks: list[Json] = []
        if self.reasons:
            blocks.append({"type": "thinking", "thinking": turn.thinking, "signature": f"Eq{turn.number:06d}" * 8})
        if turn.call:
            blocks.append({"type": "tool_use", "id": f"toolu_{turn.number:05d}_abcdefghij", "name": turn.call[0],
                           "input": turn.call[1]})  # fmt: skip
        else:
            blocks.append({"type": "text", "text": turn.text})
        return blocks

    def whole(self) -> Json:
        read, cached, wrote, _ = self.turn.usage
        return {"id": f"msg_{self.turn.number:06d}", "type": "message", "role": "assistant",
                "model": self.asked["model"], "content": self._blocks(),
                "stop_reason": "tool_use" if self.turn.call else "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": read - cached, "cache_read_input_tokens": cached,
                          "cache_creation_input_tokens": 0, "output_tokens": wrote}}  # fmt: skip

    def stream(self) -> Iterator[bytes]:
        whole = self.whole()
        begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
        yield self._event("message_start", message=begun)
        yield self._event("ping")
        for index, block in enumerate(whole["content"]):
            yield from self._block(index, block)
        yield self._event("message_delta", delta={"stop_reason": whole["stop_reason"], "stop_sequence": None},
                          usage={"output_tokens": whole["usage"]["output_tokens"]})  # fmt: skip
        yield self._event("message_stop")

    def _block(self, index: int, block: Json) -> Iterator[bytes]:
        empty = {"thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}, "text": {"text": ""}}
        yield self._event("content_block_start", index=index, content_block={**block, **empty[block["type"]]})
        kind, text = {
            "thinking": ("thinking_delta", block.get("thinking")), "text": ("text_delta", block.get("text")),
            "tool_use": ("input_json_delta", json.dumps(block.get("input"))),
        }[block["type"]]  # fmt: skip
        key = {"thinking_delta": "thinking", "text_delta": "text", "input_json_delta": "partial_json"}[kind]
        for half in _halves(text or ""):
            yield self._event("content_block_delta", index=index, delta={"type": kind, key: half})
        if "signature" in block:
            signed = {"type": "signature_delta", "signature": block["signature"]}
            yield self._event("content_block_delta", index=index, delta=signed)
        yield self._event("content_block_stop", index=index)

    @staticmethod
    def _event(kind: str, **data: Any) -> bytes:
        return _event({"type": kind, **data}, kind)


_DIALECTS: dict[str, Any] = {"/chat/completions": _Chat, "/responses": _Responses, "/messages": _Messages}
