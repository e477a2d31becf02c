"""success_after_error: the tools that could have done a claimed action did not all answer with an error.

Not seen: errors that do not say that they are (see acts.py).
"""

from auditor.records.structure import Finding
from auditor.structure.checks.acts import claimed, is_error
from auditor.structure.checks.protocol import Recorded
from auditor.structure.cues import could_do


def check(run: Recorded) -> list[Finding]:
    """One finding for each action that only failed calls could have done."""
    findings = []
    for act in claimed(run):
        done = [(name, step) for name, step in act.results if could_do(name, act.word)]
        if done and all(is_error(run, step) for _, step in done):
            name, step = done[-1]
            spans = (act.said, step.span) if step.span is not None else (act.said,)
            message = f"The reply says something was {act.word}, but {name} answered with an error."
            findings.append(Finding(check="success_after_error", holds=False, places=spans, message=message))
    return findings
