"""CI's slice of the client zoo: official SDKs, LangChain with LangGraph, OpenAI's Agents SDK, Pydantic AI."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients

CORE = {
    "drive_openai": ("chat", "chat_stream", "chat_async_no_usage", "responses", "responses_stream"),
    "drive_anthropic": ("messages", "messages_stream", "messages_plain"),
    "drive_langchain": ("chat", "chat_stream", "responses", "responses_stream", "messages", "messages_stream"),
    "drive_openai_agents": ("responses", "responses_stream", "chat", "chat_stream"),
    "drive_pydantic_ai": ("chat", "chat_stream", "responses", "responses_stream", "messages", "messages_stream"),
}


@pytest.fixture(scope="module")
def driven(core: Path, drive: Callable[..., Any]) -> Callable[[str], Any]:
    """Outcomes of a program by mode; each program is run once."""
    done: dict[str, Any] = {}

    def of(program: str) -> Any:
        if program not in done:
            done[program] = drive(core, program, CORE[program])
        return done[program]

    return of


def test_the_environment_does_not_hold_this_project(core: Path, tmp_path: Path) -> None:
    for name in ("auditor", "graph", "reasoning_auditor"):
        done = subprocess.run([core, "-s", "-E", "-c", f"import {name}"], cwd=tmp_path, capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert done.returncode != 0 and "ModuleNotFoundError" in done.stderr
    said = subprocess.run([core, "-s", "-E", "-c", "import agents; print(agents.Runner.__module__)"], cwd=tmp_path,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert said.stdout.strip() == "agents.run"


@pytest.mark.parametrize(("program", "mode"), [(program, mode) for program, modes in CORE.items() for mode in modes])
def test_a_tool_loop_is_one_run_and_its_bytes_are_untouched(
    program: str, mode: str, driven: Callable[[str], Any], check: Callable[..., Any]
) -> None:
    check(driven(program)[mode])
