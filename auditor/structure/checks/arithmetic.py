"""arithmetic: a stated `a + b = c` is right, to the decimals that were stated.

Not seen: names, brackets, several `=` (see auditor.structure.arithmetic).
"""

from auditor.records.structure import Finding
from auditor.structure.arithmetic import sums
from auditor.structure.checks.protocol import Recorded, within
from auditor.structure.values import Offsets, fraction_text


def check(run: Recorded) -> list[Finding]:
    """One finding for each stated calculation, right or wrong."""
    findings = []
    for step in run.layout.steps:
        if step.kind not in ("thought", "answer", "branch") or step.span is None:
            continue
        text = run.layout.text(step.span)
        offsets = Offsets(text)
        for found in sums(text):
            said = f"{' '.join(found.left.split())} = {found.right}"
            wrong = f"The text says {said}; it is {fraction_text(found.value)}."
            places = tuple(
                within(step.span, offsets[start], offsets[end]) for start, end in (found.left_at, found.right_at)
            )
            message = f"{said} is right." if found.holds else wrong
            findings.append(Finding(check="arithmetic", holds=found.holds, message=message, places=places))
    return findings
