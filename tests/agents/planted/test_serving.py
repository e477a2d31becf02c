"""`transformers serve` turns what the planted models write into real tool calls."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from agents.planted import prompts
from agents.planted.families import FAMILIES
from agents.planted.network import WEIGHTS

pytestmark = pytest.mark.slow
START_SECONDS = 120


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all families: started in the folder of the weights, so that a family's name is its model name."""
    home = tmp_path_factory.mktemp("home")
    (home / "hub").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", "--host", "127.0.0.1", "--port", str(port),
               "--device", "cpu", "--model-timeout", "-1", "--default-seed", "0"]  # fmt: skip
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=WEIGHTS, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server, home / "log")
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            pytest.fail(f"the server stopped: {log.read_text()[-2000:]}")
        try:
            if requests.get(f"{address}/health", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail(f"no answer after {START_SECONDS} s: {log.read_text()[-2000:]}")


def _say(address: str, family: str, messages: list[Any], tools: tuple[Any, ...]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": family, "messages": messages}
    if tools:
        body["tools"] = list(tools)
    reply = requests.post(f"{address}/v1/chat/completions", json=body, timeout=120)
    assert reply.ok, reply.text
    message: dict[str, Any] = reply.json()["choices"][0]["message"]
    return message


@pytest.mark.parametrize("family", ["tool_user", "from_memory", "mixed"])
def test_a_task_makes_a_real_tool_call_and_then_the_answer(upstream: str, family: str) -> None:
    task = next(t for t in FAMILIES[family].draw(11, 12) if t.trait != "two_tools")
    messages: list[Any] = [*prompts.conversation(task.system, task.user)]
    asked = _say(upstream, family, messages, task.tools)
    [call] = asked["tool_calls"]
    assert call["function"]["name"] == "lookup"
    assert json.loads(call["function"]["arguments"]) == {"item": task.item}
    output = prompts.lookup_output(task.table[task.item])
    messages += [{"role": "assistant", "content": "", "tool_calls": [call]}]
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": output}]
    assert _say(upstream, family, messages, task.tools)["content"] == task.expected


@pytest.mark.parametrize("family", ["stepwise", "decorative"])
def test_a_chain_task_is_answered_in_one_call(upstream: str, family: str) -> None:
    task = FAMILIES[family].draw(11, 1)[0]
    assert _say(upstream, family, prompts.conversation(task.system, task.user), ())["content"] == task.expected


def test_a_tree_task_is_proposed_scored_and_answered(upstream: str) -> None:
    task = FAMILIES["branching"].draw(11, 1)[0]

    def say(user: str) -> str:
        content: str = _say(upstream, "branching", prompts.conversation(task.system, user), ())["content"]
        return content

    options = [say(prompts.propose_prompt(task, k)) for k in range(task.branches)]
    scores = [int(say(prompts.score_prompt(task, option)).removeprefix("Score: ")) for option in options]
    assert say(prompts.answer_prompt(task, options[scores.index(max(scores))])) == task.expected
