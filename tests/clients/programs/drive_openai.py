"""The official OpenAI client: chat completions and Responses, whole and streamed, with a tool loop written by hand."""

import json
from typing import Any

from jobs import KEY, MODEL, SYSTEM, Job, run
from openai import AsyncOpenAI, OpenAI

SCHEMA = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"],
          "additionalProperties": False}  # fmt: skip
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "description": "Price of an item.",
                                                     "parameters": SCHEMA}}]  # fmt: skip
TOOLS: Any = [{"type": "function", "name": "look_up", "description": "Price of an item.", "parameters": SCHEMA,
               "strict": True}]  # fmt: skip


def client(job: Job) -> OpenAI:
    return OpenAI(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0)


def results(job: Job, calls: Any) -> list[Any]:
    return [{"role": "tool", "tool_call_id": one.id, "content": job.look_up(**json.loads(one.function.arguments))}
            for one in calls]  # fmt: skip


def chat(job: Job) -> str:
    said: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": job.question}]
    with client(job) as openai:
        while True:
            answer = openai.chat.completions.create(model=MODEL, messages=said, tools=CHAT_TOOLS).choices[0].message
            if not answer.tool_calls:
                return answer.content or ""
            said.append(answer.model_dump(exclude_none=True))
            said += results(job, answer.tool_calls)


def chat_stream(job: Job) -> str:
    said: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": job.question}]
    with client(job) as openai:
        while True:
            with openai.chat.completions.stream(
                model=MODEL, messages=said, tools=CHAT_TOOLS, stream_options={"include_usage": True}
            ) as stream:
                answer = stream.get_final_completion().choices[0].message
            if not answer.tool_calls:
                return answer.content or ""
            said.append({"role": "assistant", "tool_calls": [
                {"id": one.id, "type": "function",
                 "function": {"name": one.function.name, "arguments": one.function.arguments}}
                for one in answer.tool_calls]})  # fmt: skip
            said += results(job, answer.tool_calls)


async def chat_async_no_usage(job: Job) -> str:
    """Streamed without asking for usage, deltas joined by hand."""
    said: list[Any] = [{"role": "user", "content": job.question}]
    async with AsyncOpenAI(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0) as openai:
        while True:
            text, calls = "", {}
            stream = await openai.chat.completions.create(model=MODEL, messages=said, tools=CHAT_TOOLS, stream=True)
            async for chunk in stream:
                delta = chunk.choices[0].delta
                text += delta.content or ""
                for piece in delta.tool_calls or []:
                    call = calls.setdefault(piece.index, {"id": piece.id, "type": "function",
                                                          "function": {"name": piece.function.name, "arguments": ""}})
                    call["function"]["arguments"] += piece.function.arguments or ""
            if not calls:
                return text
            said.append({"role": "assistant", "content": text or None, "tool_calls": list(calls.values())})
            said += [{"role": "tool", "tool_call_id": call["id"],
                      "content": job.look_up(**json.loads(call["function"]["arguments"]))} for call in calls.values()]


def responses(job: Job) -> str:
    given: list[Any] = [{"role": "user", "content": job.question}]
    with client(job) as openai:
        while True:
            answer = openai.responses.create(model=MODEL, instructions=SYSTEM, input=given, tools=TOOLS,
                                             store=False, include=["reasoning.encrypted_content"])  # fmt: skip
            calls = [one for one in answer.output if one.type == "function_call"]
            if not calls:
                return answer.output_text
            given += [one.model_dump(exclude_none=True) for one in answer.output]
            given += [{"type": "function_call_output", "call_id": one.call_id,
                       "output": job.look_up(**json.loads(one.arguments))} for one in calls]  # fmt: skip


def responses_stream(job: Job) -> str:
    """Streamed, and only what is new is sent: the rest is named by previous_response_id."""
    given: list[Any] = [{"role": "user", "content": job.question}]
    previous: Any = None
    with client(job) as openai:
        while True:
            more = {"previous_response_id": previous} if previous else {}
            with openai.responses.stream(model=MODEL, instructions=SYSTEM, input=given, tools=TOOLS, **more) as stream:
                answer = stream.get_final_response()
            calls = [one for one in answer.output if one.type == "function_call"]
            if not calls:
                return answer.output_text
            previous = answer.id
            given = [{"type": "function_call_output", "call_id": one.call_id,
                      "output": job.look_up(**json.loads(one.arguments))} for one in calls]  # fmt: skip


run({"chat": chat, "chat_stream": chat_stream, "chat_async_no_usage": chat_async_no_usage, "responses": responses,
     "responses_stream": responses_stream})  # fmt: skip
