"""What the official SDKs make of an answer's bytes, and what a parsed Call says, in one form that can be compared.

A form is a dict: texts, reasoning and its signatures, calls (id, name, arguments as JSON), results, finish, usage, id.
The SDKs read the same bytes through a transport that only hands them over; nothing is sent anywhere.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import anthropic
import httpx2
import openai

from auditor.records.messages import Call, Message, Other, Reasoning, Text, ToolCall, ToolResult

Form = dict[str, Any]
NOBODY: Any = [{"role": "user", "content": "?"}]


def _http(body: bytes, headers: list[tuple[str, str]], status: int) -> httpx2.Client:
    def hand_over(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, content=body)

    return httpx2.Client(transport=httpx2.MockTransport(hand_over))


def by_sdk(dialect: str, body: bytes, headers: list[tuple[str, str]], status: int, is_stream: bool) -> Form | None:
    """The SDK's accumulated object in comparable form; None where it has none for this dialect."""
    with _http(body, headers, status) as http:
        if dialect == "anthropic_messages":
            return _anthropic(http, is_stream)
        if dialect == "openai_chat":
            return _chat(http, is_stream)
        if dialect == "openai_responses":
            return _responses(http, is_stream)
    return None


def _anthropic(http: httpx2.Client, is_stream: bool) -> Form:
    client = anthropic.Anthropic(api_key="none", base_url="http://sdk.test", http_client=http, max_retries=0)
    asked: Any = {"model": "m", "max_tokens": 1, "messages": NOBODY}
    if is_stream:
        with client.beta.messages.stream(**asked) as stream:
            message = stream.get_final_message()
    else:
        message = client.beta.messages.create(**asked)  # type: ignore[assignment]
    said = message.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    blocks = said.get("content") or []
    form = _empty()
    for block in blocks:
        kind = block["type"]
        if kind == "text":
            form["texts"] += [block["text"]] if block["text"] else []
            form["citations"] += block.get("citations") or []
        elif kind == "thinking":
            form["reasoning"].append((block["thinking"], block.get("signature") or None))
        elif kind == "redacted_thinking":
            form["reasoning"].append(("", block["data"]))
        elif kind.endswith("tool_use"):
            form["calls"].append((block["id"], block["name"], block["input"]))
        elif kind.endswith("tool_result"):
            form["results"].append((block["tool_use_id"], _result_content(block.get("content"))))
        else:
            form["others"].append(block)
    form |= {"finish": [said.get("stop_reason")], "usage": said.get("usage") or {}, "id": said.get("id")}
    form["leaves"] = sorted(set(leaves(blocks, skip=("type",))))
    return form


def _result_content(content: Any) -> Any:
    """Texts where a result is made of texts, else the content as it came."""
    if isinstance(content, list) and content and all(row.get("type") == "text" for row in content):
        return [row["text"] for row in content]
    return content


def _chat(http: httpx2.Client, is_stream: bool) -> Form:
    client = openai.OpenAI(api_key="none", base_url="http://sdk.test/v1", http_client=http, max_retries=0)
    asked: Any = {"model": "m", "messages": NOBODY}
    if is_stream:
        with client.chat.completions.stream(**asked) as stream:
            for _ in stream:
                pass
            answer = stream.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)
    if not isinstance(answer, openai.BaseModel):
        return _empty()
    said = answer.model_dump(mode="json", warnings=False)
    form = _empty()
    messages = [choice["message"] for choice in said.get("choices") or []]
    for message in messages:
        content = message.get("content")
        form["texts"] += [content] if content else []
        thought = message.get("reasoning_content") or message.get("reasoning")
        form["reasoning"] += [(thought, None)] if thought else []
        for call in message.get("tool_calls") or []:
            body = call.get("function") or call.get("custom")
            form["calls"].append(
                (call["id"] or None, body["name"], _arguments(body.get("arguments", body.get("input"))))
            )
    form["finish"] = [choice.get("finish_reason") for choice in said.get("choices") or []]
    form |= {"usage": said.get("usage") or {}, "id": said.get("id")}
    skip = ("type", "role", "parsed", "parsed_arguments")
    form["leaves"] = sorted(set(leaves(messages, skip=skip)))
    return form


def _responses(http: httpx2.Client, is_stream: bool) -> Form:
    client = openai.OpenAI(api_key="none", base_url="http://sdk.test/v1", http_client=http, max_retries=0)
    if is_stream:
        with client.responses.stream(model="m", input="?") as stream:
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(model="m", input="?")
    said = answer.model_dump(mode="json", exclude_unset=True, warnings=False)
    form = _empty()
    for item in said.get("output") or []:
        kind = item["type"]
        if kind == "message" and item["role"] == "assistant":
            form["texts"] += [part["text"] for part in item["content"] if part.get("text")]
        elif kind == "reasoning":
            rows = [*(item.get("summary") or []), *(item.get("content") or [])]
            form["reasoning"].append(("".join(row["text"] for row in rows), item.get("encrypted_content")))
        elif kind == "function_call":
            form["calls"].append((item["call_id"], item["name"], _arguments(item["arguments"])))
        elif kind == "custom_tool_call":
            form["calls"].append((item["call_id"], item["name"], _arguments(item["input"])))
    form |= {"usage": said.get("usage") or {}, "id": said.get("id"), "status": said.get("status")}
    skip = ("type", "role", "status", "parsed", "parsed_arguments")
    form["leaves"] = sorted(set(leaves(said.get("output") or [], skip=skip)))
    return form


def _empty() -> Form:
    names = ("texts", "citations", "reasoning", "calls", "client_calls", "results", "others", "finish")
    return {**{name: [] for name in names}, "usage": {}, "id": None, "leaves": []}


def of_call(call: Call) -> Form:
    """The same form, from the record."""
    form = _empty()
    for message in call.outputs:
        _add(form, message)
    form |= {"finish": list(call.finish), "usage": dict(call.usage), "id": call.response_id}
    return form


def _add(form: Form, message: Message) -> None:
    results: dict[str | None, list[Any]] = {}
    for part in message.parts:
        extra: Mapping[str, Any] = {} if isinstance(part, Other) else part.extra or {}  # type: ignore[assignment]
        if isinstance(part, Text):
            form["texts"] += [part.text] if part.text else []
            form["citations"] += extra.get("citations") or []
        elif isinstance(part, Reasoning):
            form["reasoning"].append((part.text, part.signature))
        elif isinstance(part, ToolCall):
            form["calls"].append((part.call_id, part.name, _arguments(part.arguments)))
            form["client_calls"] += [] if "server" in extra else form["calls"][-1:]
        elif isinstance(part, ToolResult):
            rows = results.setdefault(part.call_id, [])
            if not rows:
                form["results"].append((part.call_id, rows))
            rows.append(extra.get("content", part.text))
        else:
            form["others"].append(part.data)
    form["results"] = [
        (call_id, rows[0] if len(rows) == 1 and not isinstance(rows[0], str) else rows)
        for call_id, rows in form["results"]
    ]


def _arguments(text: Any) -> Any:
    """Arguments as the JSON they are, for an SDK keeps text and object as it likes."""
    try:
        return json.loads(text) if isinstance(text, str) and text else text or {}
    except ValueError:
        return text


def compare(dialect: str, call: Call, sdk: Form) -> list[str]:
    """Fields that differ, in words; nothing when the record says what the SDK says."""
    own, names = of_call(call), ["texts", "citations", "calls", "id"]
    if dialect == "openai_responses":
        # The provider's own tools are items of many shapes there; that none of their words is lost is checked below.
        own["calls"] = own["client_calls"]
        own["reasoning"], sdk = _thoughts(own), {**sdk, "reasoning": _thoughts(sdk)}
        names.append("reasoning")
    else:
        names += ["reasoning", "finish"]
    if dialect == "anthropic_messages":
        names += ["results", "others"]
    found = [
        f"{name}: record {_short(own[name])}, SDK {_short(sdk[name])}"
        for name in names
        if _plain(own[name]) != _plain(sdk[name])
    ]
    found += [f"usage.{name}" for name in _unequal(own["usage"], sdk["usage"])]
    found += [f"lost: {_short(leaf)}" for leaf in lost(call, sdk["leaves"])]
    return found


def _thoughts(form: Form) -> Any:
    texts = "".join(text for text, _ in form["reasoning"])
    return [texts.replace("\n", ""), sorted({sign for _, sign in form["reasoning"] if sign})]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _unequal(own: Any, sdk: Any, at: str = "") -> Iterator[str]:
    """Usage figures the SDK has and the record has not, or other ones."""
    if isinstance(sdk, Mapping):
        for key, value in sdk.items():
            yield from _unequal(own.get(key) if isinstance(own, Mapping) else None, value, f"{at}.{key}" if at else key)
    elif sdk is not None and own != sdk:
        yield f"{at}: record {own!r}, SDK {sdk!r}"


def leaves(value: Any, skip: tuple[str, ...] = ()) -> Iterator[str]:
    """Every text in a JSON value, those under the keys in `skip` left out."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += [item for key, item in one.items() if key not in skip]
        elif isinstance(one, (list, tuple)):
            waiting += one


def lost(call: Call, wanted: list[str]) -> list[str]:
    """Which of these texts stand nowhere in the answer the record holds."""
    held: list[str] = [call.response_id or "", *call.finish]
    for message in call.outputs:
        for part in message.parts:
            held += leaves(vars(part))
            if isinstance(part, ToolCall):
                held += leaves(_arguments(part.arguments))
    known = set(held)
    return [text for text in wanted if text not in known and not any(text in one for one in known)]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 240 else f"{text[:115]} … {text[-115:]}"
