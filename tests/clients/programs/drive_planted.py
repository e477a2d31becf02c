"""A real small model behind `transformers serve`: the openai client and LangChain, with two tools."""

import json
from typing import Any

from jobs import KEY, Job, run
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import OpenAI

MODEL, SYSTEM = "tool_user", "You answer with the shop tools."


def question(job: Job) -> str:
    return f"What is the price of the {job.item}?"


def schema(name: str, description: str, argument: str) -> Any:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}}}  # fmt: skip


def by_hand(job: Job) -> str:
    tools = [schema("lookup", "Look up the price of an item.", "item"),
             schema("calculator", "Compute an arithmetic expression.", "expression")]  # fmt: skip
    said: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(job)}]
    with OpenAI(base_url=f"{job.base}/v1", api_key=KEY, max_retries=0) as openai:
        while True:
            answer = openai.chat.completions.create(model=MODEL, messages=said, tools=tools).choices[0].message
            if not answer.tool_calls:
                return answer.content or ""
            said.append(answer.model_dump(exclude_none=True))
            said += [{"role": "tool", "tool_call_id": one.id, "content": json.dumps({"price": int(job.price)})}
                     for one in answer.tool_calls]  # fmt: skip


def langchain(job: Job) -> str:
    @tool
    def lookup(item: str) -> str:
        """Look up the price of an item."""
        return json.dumps({"price": int(job.price)})

    @tool
    def calculator(expression: str) -> str:
        """Compute an arithmetic expression."""
        raise NotImplementedError(expression)

    model = ChatOpenAI(model=MODEL, base_url=f"{job.base}/v1", api_key=KEY, max_retries=0)
    agent = create_agent(model, tools=[lookup, calculator], system_prompt=SYSTEM)
    return str(agent.invoke({"messages": [{"role": "user", "content": question(job)}]})["messages"][-1].text)


run({"openai": by_hand, "langchain": langchain})
