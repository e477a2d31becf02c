"""A hand-off between two agents (LangGraph): what the first one found goes, as a task of its own, to the second.

Each agent has its own model, instructions and tools. The second one's task quotes the first one's answer, which is all
it knows of it.
"""

from collections.abc import Callable
from typing import TypedDict

from langgraph.graph import END, START, StateGraph

Agent = Callable[[str], str]
"""Task -> final text."""


class Handed(TypedDict, total=False):
    """What passes between the two."""

    task: str
    found: str
    answer: str


def handoff(first: Agent, second: Agent, task: str, brief: Callable[[str], str]) -> str:
    """Run one agent after the other. `brief` writes the second one's task from the first one's answer."""
    graph = StateGraph(Handed)
    graph.add_node("first", lambda state: {"found": first(state["task"])})
    graph.add_node("second", lambda state: {"answer": second(brief(state["found"]))})
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    return str(graph.compile().invoke({"task": task})["answer"])
