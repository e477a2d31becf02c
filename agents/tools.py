"""The Python tools of the reference agents: a table look-up and a calculator. Both answer with JSON text."""

import ast
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import StructuredTool

_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def lookup(table: Mapping[str, int], item: str) -> str:
    """The price of an item, or an error the model can read."""
    if item not in table:
        return json.dumps({"error": f"no item called {item!r}"})
    return json.dumps({"price": table[item]})


def calculate(expression: str) -> str:
    """Value of an expression of whole numbers with +, - and *; parsed, never executed."""
    try:
        return json.dumps({"result": _value(ast.parse(expression, mode="eval").body)})
    except (SyntaxError, ValueError) as fault:
        return json.dumps({"error": f"cannot compute {expression!r}: {fault}"})


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("only whole numbers with +, - and * are understood")


def tools_for(schemas: Sequence[Mapping[str, Any]], table: Mapping[str, int]) -> list[StructuredTool]:
    """LangChain tools for OpenAI function schemas; each is offered to the model with exactly that schema."""
    ways: Mapping[str, Callable[..., str]] = {
        "lookup": lambda item: lookup(table, item),
        "calculator": lambda expression: calculate(expression),
    }
    made = []
    for schema in schemas:
        function = schema["function"]
        made.append(
            StructuredTool(
                name=function["name"],
                description=function["description"],
                args_schema=function["parameters"],
                func=ways[function["name"]],
            )
        )
    return made
