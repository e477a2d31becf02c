"""LangChain's create_agent (LangGraph) over chat completions, Responses and Anthropic Messages."""

from typing import Any

from jobs import KEY, MODEL, SYSTEM, Job, run
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


def agent(job: Job, model: Any) -> Any:
    @tool
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    return create_agent(model, tools=[look_up], system_prompt=SYSTEM)


def asked(job: Job) -> Any:
    return {"messages": [{"role": "user", "content": job.question}]}


def whole(job: Job, model: Any) -> str:
    return str(agent(job, model).invoke(asked(job))["messages"][-1].text)


def streamed(job: Job, model: Any) -> str:
    """Token by token; the text after the last tool result is the answer."""
    text = ""
    for message, _ in agent(job, model).stream(asked(job), stream_mode="messages"):
        text = "" if message.type == "tool" else text + str(message.text)
    return text


def openai(job: Job, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=f"{job.base}/v1", api_key=KEY, max_retries=0, **more)


def anthropic(job: Job, **more: Any) -> ChatAnthropic:
    return ChatAnthropic(model=MODEL, base_url=job.base, api_key=KEY, max_retries=0, max_tokens=4096, **more)


THINKING = {"type": "enabled", "budget_tokens": 1024}

run({
    "chat": lambda job: whole(job, openai(job)),
    "chat_stream": lambda job: streamed(job, openai(job, stream_usage=True)),
    "responses": lambda job: whole(job, openai(job, use_responses_api=True)),
    "responses_stream": lambda job: streamed(job, openai(job, use_responses_api=True)),
    "messages": lambda job: whole(job, anthropic(job, thinking=THINKING)),
    "messages_stream": lambda job: streamed(job, anthropic(job, thinking=THINKING)),
})
