"""The nodes of a tree: whose child each is, how deep it stands, what it scored, and what became of it.

A candidate's parent is, first that is known: the one the recorder names; the kept candidate whose text its own begins
with (states of a search over texts are cumulative), among the `state` it was grown from where the recorder says that;
the kept candidate that stands in the prompt of the call that wrote it. Otherwise it grows from the root. A visited
thought's parent is the latest visit of its path without its last entry. A node's own text is what it adds to its
parent's: the state it stands for is the texts from the root to it.

What became of it: a candidate is `kept` or `pruned` as the selection says. A visited thought is `kept` when the search
went on from it, `pruned` when it did not and its score says that it must not, else `open`: nothing says why the search
did not go on (no candidate, no time, or the goal).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from auditor.records.structure import Branch, Step
from auditor.structure.inputs import Grade
from auditor.structure.layout import Layout, last_input
from auditor.structure.searches import Candidate, Choice, Visit, Walk

_MOST_LENGTHS = 256
"""Lengths of kept texts a candidate's beginning is compared with: a bound on time."""
_MOST_PROPOSED = 1000
"""Texts of branches that are looked for in a prompt."""

Fate = Literal["kept", "pruned", "open"]


@dataclass(frozen=True, kw_only=True)
class Tie:
    """What ties a candidate to its parent; `begun` characters of its text are the parent's."""

    parent: str | None
    rule: str
    grade: Grade
    begun: int


class Branches:
    """Filled in the order of the run."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._calls = {call.id: call for call in layout.calls}
        self._nodes: dict[str, Branch] = {}
        self._kept: dict[str, str] = {}
        """Text of a kept candidate -> its branch: of equal ones in one choice the first, in several the last."""
        self._before: tuple[tuple[str, str], ...] = ()
        """Branches of the choice before, in order, and their candidates' texts."""
        self._visited: dict[tuple[str, ...], str] = {}
        self._texts: dict[str, str] = {}
        """Branch found by prompt shape -> its text."""

    def all(self) -> list[Branch]:
        """Every node, in the order of its step."""
        order = {step.id: step.order for step in self._layout.steps}
        return sorted(self._nodes.values(), key=lambda one: order[one.step])

    def ties(self, choice: Choice) -> list[Tie]:
        """What the event alone says of each candidate's parent."""
        grown = _Beginnings(self._kept if choice.state is None else {one for one in choice.state if one in self._kept})
        return [self._tie(one, grown, choice.state is not None) for one in choice.candidates]

    def choose(
        self, choice: Choice, branches: Sequence[Step], scored: Sequence[str | None], ties: Sequence[Tie]
    ) -> None:
        """Nodes of one choice's candidates."""
        kept = set(choice.all_kept)
        for place, (one, branch, tie) in enumerate(zip(choice.candidates, branches, ties, strict=True)):
            parent = tie.parent or self._prompted(branch)
            if tie.parent is not None and branch.call is None:
                self._grow(branch, tie.parent, tie.rule, tie.grade)
            fate: Fate = "kept" if place in kept else "pruned"
            self._add(branch, parent, choice.depth, one.score, scored[place], fate)
        firsts: dict[str, str] = {}
        for place in choice.all_kept:
            firsts.setdefault(choice.candidates[place].text, branches[place].id)
        self._kept |= firsts
        self._before = tuple(
            (branch.id, one.text) for one, branch in zip(choice.candidates, branches, strict=True)
        )

    def visit(self, walk: Walk, visit: Visit, branch: Step, scored: str | None) -> None:
        """The node of one visit."""
        parent = self._visited.get(visit.path[:-1])
        if parent is not None:
            above = self._nodes[parent]
            self._nodes[parent] = replace(above, fate="kept")
            if branch.call is None:
                self._grow(branch, parent, "visit_path", "recorded")
        elif len(visit.path) > 1:
            self._layout.gaps.append("a visit of a search begins at a thought that was not visited")
        self._visited[visit.path] = branch.id
        turned_back = walk.prunes(visit.score) and not visit.expanded
        fate: Fate = "kept" if visit.expanded else "pruned" if turned_back else "open"
        self._add(branch, parent, len(visit.path), visit.score, scored, fate)

    def propose(self, branch: Step) -> None:
        """A node that only the shape of prompts tells of."""
        parent = self.proposed_in(last_input(self._layout, self._calls[branch.call])) if branch.call else None
        self._add(branch, parent, None, None, None, "open")
        if branch.span is not None and len(self._texts) < _MOST_PROPOSED:
            self._texts[branch.id] = self._layout.text(branch.span)

    def valued(self, branch: str, score: float, scored: Step) -> None:
        """Note the score of a node."""
        self._nodes[branch] = replace(self._nodes[branch], score=score, scored_by=scored.id)

    def proposed_in(self, prompt: str) -> str | None:
        """The proposed branch whose text stands in a prompt; of several the longest, of these the first."""
        found = [own for own, text in self._texts.items() if text and text in prompt]
        return max(found, key=lambda own: len(self._texts[own]), default=None)

    def _tie(self, one: Candidate, grown: "_Beginnings", stated: bool) -> Tie:
        if one.parent is not None:
            parent, above = None, ""
            if isinstance(one.parent, str):
                parent, above = self._kept.get(one.parent), one.parent
            elif 0 <= one.parent < len(self._before):
                parent, above = self._before[one.parent]
            begins = parent is not None and above != "" and one.text.startswith(above) and one.text != above
            return Tie(parent=parent, rule="parent_named", grade="recorded", begun=len(above) if begins else 0)
        begun = grown.of(one.text)
        if begun is None:
            return Tie(parent=None, rule="", grade="recorded", begun=0)
        grade: Grade = "recorded" if stated else "inferred"
        return Tie(parent=self._kept[begun], rule="begins_with", grade=grade, begun=len(begun))

    def _prompted(self, branch: Step) -> str | None:
        """The kept candidate that stands in the prompt of the call that wrote a branch."""
        if branch.call is None or not self._kept:
            return None
        prompt = last_input(self._layout, self._calls[branch.call])
        held = [one for one in list(self._kept)[-_MOST_PROPOSED:] if one.strip() and one.strip() in prompt]
        return self._kept[max(held, key=len)] if held else None

    def _grow(self, branch: Step, parent: str, rule: str, grade: str) -> None:
        self._layout.replace_step(branch, kind="branch", parent=parent, rule=rule, grade=grade)

    def _add(
        self, branch: Step, parent: str | None, depth: int | None, score: float | None, scored: str | None, fate: Fate
    ) -> None:
        above = self._nodes[parent].depth if parent is not None else 0
        self._nodes[branch.id] = Branch(
            step=branch.id, parent=parent, depth=depth or above + 1, score=score, scored_by=scored, fate=fate,
        )  # fmt: skip


class _Beginnings:
    """Texts, findable by a longer text that begins with them."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = {one for one in texts if one.strip()}
        self._lengths = sorted({len(one) for one in self._texts}, reverse=True)[:_MOST_LENGTHS]

    def of(self, text: str) -> str | None:
        """The longest that `text` begins with and goes on from; a word is not cut."""
        for length in self._lengths:
            begins = text[:length]
            if length < len(text) and begins in self._texts and not (begins[-1].isalnum() and text[length].isalnum()):
                return begins
        return None
