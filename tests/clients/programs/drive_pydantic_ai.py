"""Pydantic AI over chat completions, Responses and Anthropic Messages."""

from typing import Any

from anthropic import AsyncAnthropic
from jobs import KEY, MODEL, SYSTEM, Job, run
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


async def loop(job: Job, model: Any, stream: bool, **more: Any) -> str:
    agent = Agent(model, system_prompt=SYSTEM, **more)

    @agent.tool_plain
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    if not stream:
        return str((await agent.run(job.question)).output)
    async with agent.run_stream(job.question) as result:
        return str(await result.get_output())


async def openai(job: Job, kind: Any, stream: bool = False) -> str:
    async with AsyncOpenAI(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0) as client:
        return await loop(job, kind(MODEL, provider=OpenAIProvider(openai_client=client)), stream)


async def anthropic(job: Job, stream: bool = False) -> str:
    settings = AnthropicModelSettings(
        anthropic_thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=4096
    )
    async with AsyncAnthropic(base_url=job.base, api_key=KEY, max_retries=0) as client:
        model = AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client))
        return await loop(job, model, stream, model_settings=settings)


run({
    "chat": lambda job: openai(job, OpenAIChatModel),
    "chat_stream": lambda job: openai(job, OpenAIChatModel, stream=True),
    "responses": lambda job: openai(job, OpenAIResponsesModel),
    "responses_stream": lambda job: openai(job, OpenAIResponsesModel, stream=True),
    "messages": anthropic,
    "messages_stream": lambda job: anthropic(job, stream=True),
})
