"""Instructor: a loop written by hand, whose answer is a typed object (a forced tool call)."""

import json
from typing import Any

import instructor
from jobs import KEY, MODEL, Job, run
from openai import OpenAI
from pydantic import BaseModel


class Offer(BaseModel):
    """What an item costs."""

    price: int


TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "description": "Price of an item.", "parameters": {
    "type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}}}]  # fmt: skip


def loop(job: Job) -> str:
    said: list[Any] = [{"role": "user", "content": job.question}]
    with OpenAI(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0) as openai:
        first = openai.chat.completions.create(model=MODEL, messages=said, tools=TOOLS).choices[0].message
        calls = [one.model_dump() for one in first.tool_calls]
        said.append({"role": "assistant", "content": None, "tool_calls": calls})
        said += [{"role": "tool", "tool_call_id": one.id, "content": job.look_up(**json.loads(one.function.arguments))}
                 for one in first.tool_calls]  # fmt: skip
        offer = instructor.from_openai(openai).chat.completions.create(
            model=MODEL, messages=said, response_model=Offer, max_retries=0)
    return f"It costs {offer.price} euro."


run({"chat": loop})
