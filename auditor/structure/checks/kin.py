"""Stated dates and codes in capitals against the objects they are said to belong to.

`unkin`: a date or a code in capitals under an anchor, that none of its recorded objects holds though they hold others
of the kind. `way_errors`: two codes said as the ends of a way that no recorded object holds together, though each is
recorded; or one that is not recorded at all beside one that is.
"""

from collections.abc import Sequence

from auditor.records.messages import Span
from auditor.structure.checks.anchors import Anchored
from auditor.structure.checks.forms import agree
from auditor.structure.checks.heard import Heard, Leaf, is_capitals, is_event
from auditor.structure.checks.statements import Statement

_OTHERS = frozenset({"not", "instead", "search", "check", "look", "find", "destination"})
"""Words of a sentence that speaks of something else than what is recorded."""
_PLACED = frozenset({"from", "to", "via", "in", "at", "(", "→", ">"})
"""What stands before the name of a place; an abbreviation (`EST`) stands behind a number."""


def unkin(one: Anchored, heard: Heard, elsewhere: set[int]) -> tuple[Statement, Leaf] | None:
    """The anchor and the recorded value that stands where the stated one should."""
    stated = one.statement
    capitals = is_capitals(stated.text)
    if not (capitals or stated.kind == "date") or not one.anchors:
        return None
    if stated.line in elsewhere and not stated.labelled:
        return None
    anchor, entities = one.anchors[0]
    if anchor.line != stated.line and not (capitals and (stated.labelled or stated.lead in {"from", "at"})):
        return None
    placed = stated.follows != ":" and (stated.lead in _PLACED or stated.labelled)
    if capitals and not placed and not heard.recorded_code(stated.text):
        return None
    if any(entity.holds(stated.forms) for _, entities in one.anchors for entity in entities):
        return None
    alike = [leaf for leaf in entities[-1].leaves if _like(leaf, stated, capitals)]
    if not alike:
        return None
    named = [leaf for leaf in alike if any(word in leaf.path[-1].casefold() for word in stated.label if len(word) > 3)]
    if stated.labelled and not named:
        return None
    return anchor, (named or alike)[0]


def way_errors(found: Sequence[Statement], heard: Heard, elsewhere: set[int]) -> dict[Span, Statement]:
    """Codes that do not belong with the one beside them, and that one."""
    wrong: dict[Span, Statement] = {}
    for left, right in zip(found, found[1:], strict=False):
        if left.line != right.line or not (is_capitals(left.text) and is_capitals(right.text)):
            continue
        if right.label[:1] != ("to",) or len(right.label) > 4 or len(left.text) != len(right.text):
            continue
        if left.text == right.text:
            wrong[left.span], wrong[right.span] = right, left
            continue
        if left.line in elsewhere:
            continue
        known = heard.recorded_code(left.text), heard.recorded_code(right.text)
        if known == (False, True):
            wrong[left.span] = right
        elif known == (True, False):
            wrong[right.span] = left
        elif all(known) and not heard.paired(left.text, right.text):
            wrong[left.span] = right
            wrong[right.span] = left
    return wrong


def way_days(
    found: Sequence[Statement], heard: Heard, elsewhere: set[int]
) -> dict[Span, tuple[Statement, Leaf]]:
    """Dates behind a way on its line (`JFK to SEA on May 20`) that no recorded object with both ends holds."""
    wrong: dict[Span, tuple[Statement, Leaf]] = {}
    for left, right, stated in zip(found, found[1:], found[2:], strict=False):
        if stated.kind != "date" or {left.line, right.line} != {stated.line} or stated.line in elsewhere:
            continue
        if not (is_capitals(left.text) and is_capitals(right.text)) or stated.label not in ((), ("on",)):
            continue
        days = heard.days_of(left.text, right.text)
        if days and not any(agree(stated.forms, leaf.forms) for leaf in days):
            wrong[stated.span] = (right, days[-1])
    return wrong


def lines_of_others(found: Sequence[Statement]) -> set[int]:
    """Lines that speak of what is sought, or is not so."""
    return {one.line for one in found if _OTHERS & set(one.label) and not one.labelled}


def _like(leaf: Leaf, stated: Statement, capitals: bool) -> bool:
    if capitals:
        return is_capitals(leaf.text) and len(leaf.text) == len(stated.text)
    return leaf.kind == "date" and is_event(leaf)
