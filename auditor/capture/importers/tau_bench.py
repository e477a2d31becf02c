"""tau-bench result files (sierra-research/tau-bench): customer-service runs with tool calls, rewards and gold actions.

A file is a JSON list of {task_id, trial, reward, info: {task: {instruction, actions, outputs}, …}, traj: messages in
OpenAI chat form}. It names neither the model nor the domain; the published files are GPT-4o on the airline domain.
"""

from pathlib import Path
from typing import Any

from auditor.capture.dialects.openai_parts import message
from auditor.capture.exact import NotJson, exact, parse_json
from auditor.capture.importers.imported import Imported
from auditor.errors import BadInput

FORMAT = "tau_bench"


def read(source: Path | bytes, *, model: str = "gpt-4o", domain: str = "airline") -> list[Imported]:
    """Runs of a file or its bytes; BadInput names the first entry that is wrong."""
    try:
        rows = exact(parse_json(source if isinstance(source, bytes) else source.read_bytes()))
    except NotJson as fault:
        raise BadInput("file", f"is no JSON: {fault}", "give a tau-bench result file") from fault
    except OSError as fault:
        raise BadInput(str(source), fault.strerror or "cannot be read", "give a tau-bench result file") from fault
    if not isinstance(rows, list):
        raise BadInput("file", "is no list of runs", "give a tau-bench result file")
    return [_run(index, row, model, domain) for index, row in enumerate(rows)]


def _run(index: int, row: Any, model: str, domain: str) -> Imported:
    where = f"run {index}"
    if not isinstance(row, dict) or not isinstance(row.get("traj"), list):
        raise BadInput(where, "has no list `traj`", "give a tau-bench result file")
    for key in ("task_id", "trial", "reward"):
        if not isinstance(row.get(key), (int, float)):
            raise BadInput(f"{where}.{key}", "is missing or no number", "give a tau-bench result file")
    names: dict[str, str] = {}
    info = row["info"] if isinstance(row.get("info"), dict) else {}
    task = info["task"] if isinstance(info.get("task"), dict) else {}
    return Imported(
        format=FORMAT, run=f"tau-bench/{domain}/{row['task_id']}/{row['trial']}", model=model,
        messages=tuple(message(one, names) for one in row["traj"]),
        facts={
            "reward": row["reward"], "expected_actions": task.get("actions", []),
            "expected_outputs": task.get("outputs", []), "instruction": task.get("instruction", "unknown"),
            "reward_info": info.get("reward_info", {}),
        },
    )  # fmt: skip
