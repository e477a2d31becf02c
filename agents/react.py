"""ReAct with native tool calls: the model asks for tools until it answers (Yao et al. 2022, arXiv 2210.03629)."""

from collections.abc import Sequence

from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool


def react(
    model: BaseChatModel, tools: Sequence[BaseTool], system: str, question: str,
    callbacks: Sequence[BaseCallbackHandler] = (),
) -> str:  # fmt: skip
    """Run the loop and give the final text."""
    agent = create_agent(model, list(tools), system_prompt=system)
    state = agent.invoke({"messages": [("user", question)]}, {"callbacks": list(callbacks), "recursion_limit": 12})
    return str(state["messages"][-1].content)
