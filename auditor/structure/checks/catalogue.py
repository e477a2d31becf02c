"""The table of record checks: one file per check, listed here once; a name listed twice is refused.

A check's name is the `check` of its findings.
"""

from collections.abc import Iterable, Mapping

from auditor.structure.checks import (
    argument_agreed,
    argument_echo,
    argument_source,
    arithmetic,
    asked_again,
    citation,
    claimed_action,
    selector,
    stated_value,
    success_after_error,
    vote,
)
from auditor.structure.checks.protocol import Check


def table(entries: Iterable[tuple[str, Check]]) -> Mapping[str, Check]:
    """Name -> check, in order; ValueError for a name given twice."""
    found: dict[str, Check] = {}
    for name, check in entries:
        if name in found:
            raise ValueError(f"two record checks are called {name}")
        found[name] = check
    return found


CHECKS: Mapping[str, Check] = table((
    ("arithmetic", arithmetic.check),
    ("stated_value", stated_value.check),
    ("argument_source", argument_source.check),
    ("argument_agreed", argument_agreed.check),
    ("argument_echo", argument_echo.check),
    ("not_applied", argument_echo.not_applied),
    ("asked_again", asked_again.check),
    ("citation", citation.check),
    ("selector", selector.check),
    ("vote", vote.check),
    ("claimed_action", claimed_action.check),
    ("success_after_error", success_after_error.check),
))  # fmt: skip
