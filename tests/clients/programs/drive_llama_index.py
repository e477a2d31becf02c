"""LlamaIndex's function agent; it streams unless told otherwise."""

from jobs import KEY, MODEL, SYSTEM, Job, run
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike


async def loop(job: Job, stream: bool) -> str:
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    model = OpenAILike(model=MODEL, api_base=f"{job.base}/v1", api_key=KEY, is_chat_model=True,
                       is_function_calling_model=True, max_retries=0)  # fmt: skip
    agent = FunctionAgent(tools=[look_up], llm=model, system_prompt=SYSTEM, streaming=stream)
    return str(await agent.run(user_msg=job.question))


run({"chat": lambda job: loop(job, False), "chat_stream": lambda job: loop(job, True)})
