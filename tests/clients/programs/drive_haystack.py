"""Haystack's agent over its OpenAI chat generator."""

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import Tool
from haystack.utils import Secret
from jobs import KEY, MODEL, SYSTEM, Job, run


def loop(job: Job, stream: bool) -> str:
    tool = Tool(name="look_up", description="Price of an item.", function=job.look_up, parameters={
        "type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]})  # fmt: skip
    generator = OpenAIChatGenerator(model=MODEL, api_base_url=f"{job.base}/v1", api_key=Secret.from_token(KEY),
                                    streaming_callback=(lambda _: None) if stream else None)  # fmt: skip
    agent = Agent(chat_generator=generator, tools=[tool], system_prompt=SYSTEM)
    return str(agent.run(messages=[ChatMessage.from_user(job.question)])["messages"][-1].text)


run({"chat": lambda job: loop(job, False), "chat_stream": lambda job: loop(job, True)})
