"""Recorded JSON objects by their field names, and the one field in which an argument differs from one of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from auditor.records.structure import Step
from auditor.structure.checks.forms import agree
from auditor.structure.checks.heard import Leaf, Reader

_MOST = 100
"""Objects kept of one set of field names, the latest; and objects looked at in one call."""

Object = Sequence[Leaf]


@dataclass
class Objects:
    """Objects of tool results so far."""

    reader: Reader
    _known: dict[frozenset[str], list[Object]] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        """Take in a tool result's objects."""
        for names, own in objects_in(self.reader, step):
            known = self._known.setdefault(names, [])
            known.append(own)
            del known[:-_MOST]

    def near_misses(self, step: Step, least: int) -> Iterator[tuple[Leaf, Leaf]]:
        """Fields of a call's objects (of `least` fields or more) that alone part them from a recorded object.

        With the recorded field. None for an object that equals a recorded one, or that several fields part from all.
        """
        for names, own in list(objects_in(self.reader, step))[:_MOST]:
            if len(names) < least:
                continue
            differing = [_differing(own, other) for other in reversed(self._known.get(names, ()))]
            if differing and all(differing):
                nearest = min(differing, key=len)
                if len(nearest) == 1:
                    yield nearest[0]


def objects_in(reader: Reader, step: Step) -> Iterator[tuple[frozenset[str], Object]]:
    """Objects of a step's JSON text with their own scalar fields."""
    found: dict[str, list[Leaf]] = {}
    for leaf in reader.leaves(step):
        found.setdefault((leaf.span.pointer or "").rpartition("/")[0], []).append(leaf)
    for own in found.values():
        names = frozenset((leaf.span.pointer or "").rpartition("/")[2] for leaf in own)
        if not any(name.isdigit() for name in names):
            yield names, own


def _differing(own: Object, other: Object) -> list[tuple[Leaf, Leaf]]:
    theirs = {leaf.path[-1]: leaf for leaf in other}
    return [
        (leaf, theirs[leaf.path[-1]]) for leaf in own
        if leaf.path[-1] in theirs and not agree(leaf.forms, theirs[leaf.path[-1]].forms)
    ]  # fmt: skip
