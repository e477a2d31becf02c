"""LiteLLM's SDK: chat completions and Anthropic Messages behind one function, with a loop written by hand."""

import json
from typing import Any

import litellm
from jobs import KEY, MODEL, SYSTEM, Job, run

litellm.telemetry = False
TOOLS = [{"type": "function", "function": {"name": "look_up", "description": "Price of an item.", "parameters": {
    "type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}}}]  # fmt: skip


def loop(job: Job, model: str, base: str, stream: bool = False, **more: Any) -> str:
    said: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": job.question}]
    while True:
        answer = litellm.completion(model=model, api_base=base, api_key=KEY, messages=said, tools=TOOLS, stream=stream,
                                    num_retries=0, **more)  # fmt: skip
        if stream:
            answer = litellm.stream_chunk_builder(list(answer), messages=said)
        message = answer.choices[0].message
        if not message.tool_calls:
            return str(message.content)
        said.append(message.model_dump(exclude_none=True))
        said += [{"role": "tool", "tool_call_id": one.id, "content": job.look_up(**json.loads(one.function.arguments))}
                 for one in message.tool_calls]  # fmt: skip


run({
    "chat": lambda job: loop(job, f"openai/{MODEL}", f"{job.base}/v1"),
    "chat_stream": lambda job: loop(job, f"openai/{MODEL}", f"{job.base}/v1", True,
                                    stream_options={"include_usage": True}),
    "messages": lambda job: loop(job, f"anthropic/{MODEL}", job.base, max_tokens=4096,
                                 allowed_openai_params=["thinking"],
                                 thinking={"type": "enabled", "budget_tokens": 1024}),
})  # fmt: skip
