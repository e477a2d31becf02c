"""claimed_action: an action the reply says was done was asked of some tool.

Not seen: actions whose tool has an unrelated name.
"""

from auditor.records.structure import Finding
from auditor.structure.checks.acts import claimed
from auditor.structure.checks.protocol import Recorded
from auditor.structure.cues import could_do


def check(run: Recorded) -> list[Finding]:
    """One finding for each action that no tool was asked for."""
    return [
        Finding(
            check="claimed_action", holds=False, places=(act.said,),
            message=f"The reply says something was {act.word}, but no tool that could do it was called.",
        )
        for act in claimed(run)
        if not any(could_do(name, act.word) for name, _ in act.asked)
    ]  # fmt: skip
