"""Logfire on the openai client and on Pydantic AI."""

import json
import os
import sys
from typing import Any

os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = json.loads(sys.argv[1])[0]["otlp"]
os.environ["OTEL_METRICS_EXPORTER"] = "none"

import logfire  # noqa: E402
from jobs import KEY, MODEL, SYSTEM, Job, run  # noqa: E402
from openai import AsyncOpenAI, OpenAI  # noqa: E402
from openai_loop import loop  # noqa: E402
from pydantic_ai import Agent  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

logfire.configure(send_to_logfire=False, console=False, service_name="shop")
logfire.instrument_pydantic_ai()


def openai(job: Job) -> str:
    def kind(**more: Any) -> OpenAI:
        client = OpenAI(**more)
        logfire.instrument_openai(client)
        return client

    with logfire.span("shop"):
        return loop(job, kind)


async def pydantic_ai(job: Job) -> str:
    async with AsyncOpenAI(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0) as client:
        agent = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client)), system_prompt=SYSTEM)

        @agent.tool_plain
        def look_up(item: str) -> str:
            """Price of an item."""
            return job.look_up(item)

        return str((await agent.run(job.question)).output)


run({"openai": openai, "pydantic_ai": pydantic_ai})
logfire.force_flush()
