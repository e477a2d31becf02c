"""`python -m agents`: run planted tasks through an OpenAI-compatible address, one line of JSON per finished run."""

import argparse
import json
import sys
import time
from collections.abc import Callable

from agents.chain import chain
from agents.model import Endpoint
from agents.planted import prompts
from agents.planted.families import FAMILIES, Task
from agents.react import react
from agents.recorders.spans import RunRecorder, tracer_provider
from agents.tools import tools_for
from agents.tree import tree


def main() -> int:
    """Exit 0 when every run finished; 1 when one failed (the line says why)."""
    options = _options().parse_args()
    provider = tracer_provider(options.otlp)
    tracer = provider.get_tracer("reference-agents")
    failed = 0
    for task in _tasks(options):
        run = f"{options.prefix}{task.family}-{options.seed}-{task.item}"
        endpoint = Endpoint(base_url=options.base_url, model=options.model.replace("{family}", task.family))
        started = time.monotonic()
        line: dict[str, object] = {"run": run, "family": task.family, "item": task.item, "agent": task.agent}
        recorder = RunRecorder(tracer, run, task.agent)
        try:
            line |= {"answer": run_task(task, endpoint, recorder), "expected": task.expected}
        except Exception as fault:  # noqa: BLE001 - one broken run must not hide the others; the line carries it
            failed += 1
            line |= {"error": f"{type(fault).__name__}: {fault}"}
        print(json.dumps(line | {"seconds": round(time.monotonic() - started, 4)}), flush=True)
    provider.shutdown()
    return 1 if failed else 0


def run_task(task: Task, endpoint: Endpoint, recorder: RunRecorder) -> str:
    """One task with the agent it is made for; the final text."""
    with recorder.recording():
        model = endpoint.chat(recorder.run, recorder.traceparent(), streaming=task.agent == "chain")
        ways: dict[str, Callable[[], str]] = {
            "react": lambda: react(
                model, tools_for(task.tools, task.table), task.system, task.user, callbacks=[recorder]
            ),
            "chain": lambda: chain(model, task.system, task.user, callbacks=[recorder]),
            "tree": lambda: tree(
                model, task.system, [prompts.propose_prompt(task, k) for k in range(task.branches)],
                lambda option: prompts.score_prompt(task, option),
                lambda option: prompts.answer_prompt(task, option), task.selector, recorder,
            ),
        }  # fmt: skip
        return ways[task.agent]()


def _tasks(options: argparse.Namespace) -> list[Task]:
    """Families take turns, so that an interrupted session still covers all of them."""
    draws = [FAMILIES[name].draw(options.seed, options.per_family) for name in options.families.split(",")]
    return [task for turn in zip(*draws, strict=True) for task in turn]


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    parser.add_argument("--base-url", default="http://127.0.0.1:8787/v1", help="OpenAI-compatible address (a proxy)")
    parser.add_argument("--otlp", default="http://127.0.0.1:8787/v1/traces", help="OTLP/HTTP address for spans")
    parser.add_argument("--model", required=True, help="model name to ask for; {family} is filled in")
    parser.add_argument("--families", default=",".join(FAMILIES), help="comma-separated family names")
    parser.add_argument("--per-family", type=int, default=12, help="tasks per family")
    parser.add_argument("--seed", type=int, default=0, help="which items and values are drawn")
    parser.add_argument("--prefix", default="", help="put before every run id")
    return parser


if __name__ == "__main__":
    sys.exit(main())
