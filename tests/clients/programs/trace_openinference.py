"""OpenInference on the openai client and on LangChain: spans of both tell of one call, in two traces."""

import json
import sys
from typing import Any

from jobs import KEY, MODEL, SYSTEM, Job, run
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import OpenAI
from openai_loop import loop
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{json.loads(sys.argv[1])[0]['otlp']}/v1/traces")))
OpenAIInstrumentor().instrument(tracer_provider=provider)
LangChainInstrumentor().instrument(tracer_provider=provider)


def langchain(job: Job, **more: Any) -> str:
    @tool
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    model = ChatOpenAI(model=MODEL, base_url=f"{job.base}/v1", api_key=KEY, max_retries=0, **more)
    agent = create_agent(model, tools=[look_up], system_prompt=SYSTEM)
    answer = agent.invoke({"messages": [{"role": "user", "content": job.question}]})["messages"][-1].text
    return str(answer)


def rooted(job: Job) -> str:
    with provider.get_tracer("shop").start_as_current_span("shop", attributes={"openinference.span.kind": "AGENT"}):
        return loop(job, OpenAI)


run({"openai": lambda job: loop(job, OpenAI), "openai_rooted": rooted, "langchain": langchain,
     "langchain_responses": lambda job: langchain(job, use_responses_api=True)})  # fmt: skip
provider.shutdown()
