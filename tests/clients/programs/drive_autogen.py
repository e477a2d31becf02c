"""AutoGen's assistant agent, which reflects on what the tool gave."""

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from jobs import KEY, MODEL, SYSTEM, Job, run


async def loop(job: Job, stream: bool) -> str:
    async def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    client = OpenAIChatCompletionClient(
        model=MODEL, base_url=f"{job.base}/v1", api_key=KEY,
        model_info={"vision": False, "function_calling": True, "json_output": True, "family": "unknown",
                    "structured_output": False},
    )  # fmt: skip
    agent = AssistantAgent("shop", model_client=client, tools=[look_up], system_message=SYSTEM,
                           reflect_on_tool_use=True, model_client_stream=stream)  # fmt: skip
    result = await agent.run(task=job.question)
    await client.close()
    return str(result.messages[-1].content)


run({"chat": lambda job: loop(job, False), "chat_stream": lambda job: loop(job, True)})
