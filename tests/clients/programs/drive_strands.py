"""Strands agents; the OpenAI model always streams."""

from jobs import KEY, MODEL, SYSTEM, Job, run
from strands import Agent, tool
from strands.models.openai import OpenAIModel


def loop(job: Job) -> str:
    @tool
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    model = OpenAIModel(model_id=MODEL, client_args={"base_url": f"{job.base}/v1", "api_key": KEY, "max_retries": 0})
    return str(Agent(model=model, tools=[look_up], system_prompt=SYSTEM, callback_handler=None)(job.question))


run({"chat_stream": loop})
