"""vote: what a run says was voted for is the answer most of its samples gave.

Only where the run states one: a recorder's vote, or the answer of a call that was shown the samples. Of answers that
share the most votes each is right. Not seen: weighted votes, and answers that mean the same in other words
(answers.py says what compares).
"""

from auditor.records.structure import Finding
from auditor.structure.checks.protocol import Recorded
from auditor.structure.layout import short
from auditor.structure.samples import stated_answer


def check(run: Recorded) -> list[Finding]:
    """One finding for each sample set with a stated vote."""
    findings = []
    steps = {step.id: step for step in run.layout.steps}
    for samples in run.layout.samples:
        said = stated_answer(run.layout, samples.stated) if samples.stated is not None else None
        if samples.stated is None or said is None:
            continue
        most = max(samples.votes.values())
        best = [answer for answer, count in samples.votes.items() if count == most]
        holds = said in best
        total = len(samples.answers)
        message = (
            f"The vote says {short(said)}, as {most} of {total} samples do."
            if holds
            else f"The vote says {short(said)} ({samples.votes.get(said, 0)} of {total} samples); "
            f"most samples ({most}) say {' or '.join(short(one) for one in best[:3])}."
        )
        firsts = [
            span for answer, step in zip(samples.answers, samples.steps, strict=True)
            if answer == best[0] and step and (span := steps[step].span) is not None
        ]  # fmt: skip
        findings.append(Finding(check="vote", holds=holds, message=message, places=(samples.stated, *firsts[:1])))
    return findings
