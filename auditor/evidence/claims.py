"""Claims of one call, grouped for methods that ask only about the decision. Torch-free."""

from collections.abc import Iterator
from typing import Any

from auditor.evidence.protocol import Question
from auditor.records.messages import Span
from auditor.records.structure import Claim


def by_target(question: Question) -> Iterator[tuple[Span, list[Claim]]]:
    """Each decision with the claims about it, in order: what explains the decision is worked out once."""
    groups: dict[tuple[Any, ...], list[Claim]] = {}
    for claim in question.claims:
        groups.setdefault(tuple(vars(claim.target).values()), []).append(claim)
    for claims in groups.values():
        yield claims[0].target, claims
