"""GSM8K (openai/grade-school-math): word problems with worked solutions, JSON Lines.

A line is `{"question", "answer"}`, or `{"question", "ground_truth", <solver>: {"solution", "is_correct"}, …}`: one run
for the answer, or one for each solver, whose name is the model. Solutions are kept as they are, with their calculator
annotations (`<<16-3=13>>`). Whatever else a line says is a fact of its runs.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.capture.importers.imported import Imported
from auditor.capture.importers.rows import Progress, Row, Source, a_text, rows, silent
from auditor.errors import BadInput
from auditor.records.messages import Message, Text

FORMAT = "gsm8k"
WHAT = "GSM8K JSON Lines: objects with `question` and `answer`, or with solvers' `solution`"


def read(source: Source, progress: Progress = silent) -> Iterator[Imported]:
    """Runs of a file; BadInput names the line and field that are wrong."""
    for number, row in enumerate(rows(source, WHAT, progress, keys=("question",))):
        question = a_text(row.value, "question", row.where, WHAT)
        # The number finds the line, the hash keeps the files of two splits apart.
        own = f"gsm8k/{number}-{hashlib.sha256(question.encode()).hexdigest()[:8]}"
        if "answer" in row.value:
            facts = {key: value for key, value in row.value.items() if key not in ("question", "answer")}
            yield _run(own, "unknown", question, a_text(row.value, "answer", row.where, WHAT), facts)
            continue
        yield from _solutions(own, question, row)


def _solutions(own: str, question: str, row: Row) -> Iterator[Imported]:
    solvers = {key: value for key, value in row.value.items() if isinstance(value, dict) and "solution" in value}
    if not solvers:
        raise BadInput(f"{row.where}.answer", "is missing, and no field has a `solution`", f"give {WHAT}")
    rest = {key: value for key, value in row.value.items() if key not in solvers and key != "question"}
    for name, solver in solvers.items():
        facts = rest | {key: value for key, value in solver.items() if key != "solution"}
        text = a_text(solver, "solution", f"{row.where}.{name}", WHAT)
        yield _run(f"{own}/{name}", name or "unknown", question, text, facts)


def _run(own: str, model: str, question: str, solution: str, facts: Mapping[str, Any]) -> Imported:
    messages = (
        Message(role="user", parts=(Text(text=question),)), Message(role="assistant", parts=(Text(text=solution),)),
    )  # fmt: skip
    return Imported(format=FORMAT, run=own, model=model, messages=messages, facts=facts)
