"""The table of rules, in the order in which they are asked. Two rules of one name are refused."""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

from auditor.errors import BadSetup
from auditor.records.verdict import RuleFinding
from auditor.verdict.case import Bench, Case
from auditor.verdict.rules import (
    availability,
    equivalence,
    placebo_floor,
    record_contradiction,
    redundancy,
    reversal,
    same_kind,
    selector,
    superiority,
)

Rule = Callable[[Case, Bench], RuleFinding | None]


def table(modules: Sequence[ModuleType]) -> Mapping[str, Rule]:
    """Name -> rule; BadSetup when a name is taken twice."""
    rules: dict[str, Rule] = {}
    for module in modules:
        if module.NAME in rules:
            raise BadSetup("rule", f"two rules are called {module.NAME!r}", "rename one of them")
        rules[module.NAME] = module.conclude
    return rules


def rules() -> Mapping[str, Rule]:
    return table((
        record_contradiction, availability, selector, placebo_floor, superiority, reversal, redundancy, equivalence,
        same_kind,
    ))  # fmt: skip
