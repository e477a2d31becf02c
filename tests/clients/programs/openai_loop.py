"""A tool loop by hand over chat completions, for programs that only differ in what watches the client."""

import json
from typing import Any

from jobs import KEY, MODEL, SYSTEM, Job

TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "description": "Price of an item.", "parameters": {
    "type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}}}]  # fmt: skip


def loop(job: Job, kind: Any, tool: Any = None) -> str:
    """`kind` is the class of the client, `tool` what looks the price up."""
    said: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": job.question}]
    tool = tool or job.look_up
    openai = kind(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0)
    while True:
        answer = openai.chat.completions.create(model=MODEL, messages=said, tools=TOOLS).choices[0].message
        if not answer.tool_calls:
            return str(answer.content)
        said.append(answer.model_dump(exclude_none=True))
        said += [{"role": "tool", "tool_call_id": one.id, "content": tool(**json.loads(one.function.arguments))}
                 for one in answer.tool_calls]  # fmt: skip
