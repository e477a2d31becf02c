"""The official Anthropic client: Messages, whole and streamed, with thinking that is sent back with its signature."""

from typing import Any

from anthropic import Anthropic
from jobs import KEY, MODEL, SYSTEM, Job, run

TOOLS: Any = [{"name": "look_up", "description": "Price of an item.", "input_schema": {
    "type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}}]  # fmt: skip
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}


def loop(job: Job, stream: bool, **more: Any) -> str:
    said: list[Any] = [{"role": "user", "content": job.question}]
    with Anthropic(base_url=job.base, api_key=KEY, max_retries=0) as anthropic:
        while True:
            asked: Any = {"model": MODEL, "max_tokens": 4096, "system": SYSTEM, "messages": said, "tools": TOOLS} | more
            if stream:
                with anthropic.messages.stream(**asked) as events:
                    answer = events.get_final_message()
            else:
                answer = anthropic.messages.create(**asked)
            said.append({"role": "assistant", "content": [one.model_dump(exclude_none=True) for one in answer.content]})
            calls = [one for one in answer.content if one.type == "tool_use"]
            if not calls:
                return "".join(one.text for one in answer.content if one.type == "text")
            said.append({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": one.id, "content": job.look_up(**one.input)} for one in calls]})


def messages(job: Job) -> str:
    return loop(job, False, thinking=THINKING)


def messages_stream(job: Job) -> str:
    return loop(job, True, thinking=THINKING)


def messages_plain(job: Job) -> str:
    return loop(job, True)


run({"messages": messages, "messages_stream": messages_stream, "messages_plain": messages_plain})
