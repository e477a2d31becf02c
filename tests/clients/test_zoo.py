"""More clients (`make test-clients`): three environments, as they disagree about packages."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients

ZOO = {
    ("a", "drive_smolagents"): ("chat", "chat_stream"),
    ("a", "drive_autogen"): ("chat", "chat_stream"),
    ("a", "drive_haystack"): ("chat", "chat_stream"),
    ("b", "drive_llama_index"): ("chat", "chat_stream"),
    ("b", "drive_litellm"): ("chat", "chat_stream", "messages"),
    ("b", "drive_instructor"): ("chat",),
    ("b", "drive_strands"): ("chat_stream",),
    ("b", "drive_dspy"): ("chat",),
    ("c", "drive_crewai"): ("chat",),
}

UNLIKE: Mapping[str, Mapping[str, Any]] = {
    # sends its history as text, and answers by calling a tool
    "drive_smolagents": {
        "steps": ("model_call", "tool_call", "tool_result", "model_call", "tool_call"),
        "unlike": ("a later request repeats an assistant message other than the model gave it",),
    },
    # its last answer is a typed object: a tool call that no tool answers
    "drive_instructor": {"steps": ("model_call", "tool_call", "tool_result", "model_call", "tool_call")},
    # writes its tool calls as text of its own making; a third call puts the answer together
    "drive_dspy": {"steps": ("model_call", "answer") * 3},
}
"""Where a client's loop has other steps than most."""


@pytest.fixture(scope="module")
def driven(python_of: Callable[[str], Path | None], drive: Callable[..., Any]) -> Callable[[str, str], Any]:
    done: dict[str, Any] = {}

    def of(environment: str, program: str) -> Any:
        python = python_of(environment)
        if python is None:
            pytest.skip(f"the client environment .clients/{environment} is not there: run `make test-clients`")
        if program not in done:
            done[program] = drive(python, program, ZOO[environment, program])
        return done[program]

    return of


@pytest.mark.parametrize(
    ("environment", "program", "mode"), [(*where, mode) for where, modes in ZOO.items() for mode in modes]
)
def test_a_tool_loop_is_one_run_and_its_bytes_are_untouched(
    environment: str, program: str, mode: str, driven: Callable[[str, str], Any], check: Callable[..., Any]
) -> None:
    check(driven(environment, program)[mode], **UNLIKE.get(program, {}))
