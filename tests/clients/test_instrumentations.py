"""Instrumented clients (`make test-clients`): their spans and the proxy's records of the same calls are one run.

Each program sends its calls through the proxy and its spans to the same server. A call seen twice or three times (by
the proxy, by the client's instrumentation, by a framework's) is one call, and names the spans that told of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients

TRACED = {
    ("a", "trace_openinference"): ("openai", "openai_rooted", "langchain", "langchain_responses"),
    ("a", "trace_langfuse"): ("openai", "openai_rooted"),
    ("a", "trace_logfire"): ("openai", "pydantic_ai"),
    ("a", "trace_mlflow"): ("openai", "openai_rooted"),
    ("b", "trace_openai_v2"): ("openai", "openai_rooted"),
    ("b", "trace_traceloop"): ("openai", "openai_rooted"),
}


@pytest.fixture(scope="module")
def driven(python_of: Callable[[str], Path | None], drive: Callable[..., Any]) -> Callable[[str, str], Any]:
    done: dict[str, Any] = {}

    def of(environment: str, program: str) -> Any:
        python = python_of(environment)
        if python is None:
            pytest.skip(f"the client environment .clients/{environment} is not there: run `make test-clients`")
        if program not in done:
            done[program] = drive(python, program, TRACED[environment, program])
        return done[program]

    return of


@pytest.mark.parametrize(
    ("environment", "program", "mode"), [(*where, mode) for where, modes in TRACED.items() for mode in modes]
)
def test_spans_and_proxied_calls_are_one_run(
    environment: str, program: str, mode: str, driven: Callable[[str, str], Any], check: Callable[..., Any]
) -> None:
    structure = check(driven(environment, program)[mode])
    assert all(call["spans"] for call in structure["calls"]), [call["spans"] for call in structure["calls"]]
    assert structure["origin"] == "proxy"
