"""OpenAI's Agents SDK: Responses (its default) and chat completions, whole and streamed."""

from typing import Any

from jobs import KEY, MODEL, SYSTEM, Job, run
from openai import AsyncOpenAI

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_trace_processors,
)

set_trace_processors([])


async def loop(job: Job, kind: Any, stream: bool) -> str:
    @function_tool
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    async with AsyncOpenAI(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0) as openai:
        model = kind(model=MODEL, openai_client=openai)
        agent = Agent(name="shop", instructions=SYSTEM, tools=[look_up], model=model)
        if not stream:
            return str((await Runner.run(agent, job.question)).final_output)
        running = Runner.run_streamed(agent, job.question)
        async for _ in running.stream_events():
            pass
        return str(running.final_output)


run({
    "responses": lambda job: loop(job, OpenAIResponsesModel, False),
    "responses_stream": lambda job: loop(job, OpenAIResponsesModel, True),
    "chat": lambda job: loop(job, OpenAIChatCompletionsModel, False),
    "chat_stream": lambda job: loop(job, OpenAIChatCompletionsModel, True),
})
