"""Does the replay reproduce the recorded call? One piece of evidence for each model call, with or without claims.

Algorithm: render the recorded messages with the model's own template, force the recorded output, and count the output
tokens that are the model's first choice; compare log-probabilities where the upstream gave them; run the same pass in
other batch shapes for the noise floor. A call that is not reproduced is refused with its reason.

Blind spots: agreement of first choices does not show that sampling settings were the same.
"""

from typing import Any

from auditor.evidence.answering import whole_output
from auditor.evidence.protocol import Question
from auditor.evidence.specs import SPECS
from auditor.records.canonical import seed_of
from auditor.records.evidence import Check, Estimate, Evidence


class ReplayFidelity:
    """Implements evidence.protocol.Method; speaks about the call, not about a claim."""

    spec = SPECS["fidelity"]

    def answer(self, question: Question, replay: Any) -> list[Evidence]:
        found = replay.fidelity
        gap = Estimate(
            name="max_logprob_gap", value=found.max_logprob_gap, unit="nats",
            reason=None if found.max_logprob_gap is not None else "unsupported",
            detail={} if found.max_logprob_gap is not None else {"why": "the upstream gave no log-probabilities"},
        )  # fmt: skip
        return [
            Evidence(
                run=question.structure.run, claim=None, call=question.call.id, kind="record", method=self.spec.id,
                target=whole_output(question), target_tokens=None, fidelity=found, digests=replay.digests,
                estimates=(
                    Estimate(name="argmax_agreement", value=found.argmax_agreement, unit="share",
                             detail={"tokens": found.tokens}),
                    Estimate(name="noise_floor", value=found.noise_floor, unit="nats"), gap,
                ),
                checks=(
                    Check(name="argmax_agreement", passed=found.argmax_agreement == 1.0, value=found.argmax_agreement,
                          bound=1.0, unit="share", note=f"{found.tokens} output tokens, forced"),
                ),
                seed=str(seed_of(question.seed_key, 0)), note=" ".join(replay.notes),
                detail=f"{found.tokens} recorded output tokens were forced through the replayed call.",
            )
        ]  # fmt: skip
