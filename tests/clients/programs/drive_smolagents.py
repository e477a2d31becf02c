"""smolagents: a tool-calling agent, which gives its answer as a call of `final_answer`."""

from jobs import KEY, MODEL, Job, run
from smolagents import OpenAIModel, ToolCallingAgent, tool


def loop(job: Job, stream: bool) -> str:
    @tool
    def look_up(item: str) -> str:
        """Price of an item.

        Args:
            item: what it is called
        """
        return job.look_up(item)

    model = OpenAIModel(model_id=MODEL, api_base=f"{job.base}/v1", api_key=KEY)
    agent = ToolCallingAgent(tools=[look_up], model=model, stream_outputs=stream, verbosity_level=0)
    return str(agent.run(job.question))


run({"chat": lambda job: loop(job, False), "chat_stream": lambda job: loop(job, True)})
