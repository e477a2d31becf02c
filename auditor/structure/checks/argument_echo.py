"""argument_echo: where a tool's result repeats an argument's field, it repeats its value.

`cancel(order=A1)` answered by `{"order": "B2", …}` is about another order. Fields correspond when the names on
the way to them are the same, list positions aside. Of a list of results, only codes in capitals count, and fields other
than free text that have one value in all of them: a search may match loosely.

not_applied: the result's value is the one that an earlier result held for the same thing, so that it was the tool that
did not do what it was asked; the result's field is then what is wrong, and stands first. So too for a word (`cabin`) of
a thing that was known before but not read: the tool may have been late rather than the argument wrong.

A thing is the first id among a result's own fields.

Not seen: results that are not JSON, results that repeat nothing, fields of another name.
"""

from collections.abc import Mapping, Sequence

from auditor.records.messages import ToolCall
from auditor.records.structure import Finding, Step
from auditor.structure.checks.forms import agree
from auditor.structure.checks.heard import Leaf, is_capitals, is_code
from auditor.structure.checks.protocol import Recorded

Path = tuple[str, ...]


def check(run: Recorded) -> list[Finding]:
    """Arguments that the result of their call contradicts."""
    return [one for one in _both(run) if one.check == "argument_echo"]


def not_applied(run: Recorded) -> list[Finding]:
    """Results that still hold what an earlier result held, though the call asked for something else."""
    return [one for one in _both(run) if one.check == "not_applied"]


def _both(run: Recorded) -> list[Finding]:
    findings = []
    asked: dict[str, Step] = {}
    told: dict[tuple[Path, str], frozenset[str]] = {}
    heard: set[str] = set()
    for step in run.layout.steps:
        if step.kind == "tool_call":
            asked[step.id] = step
            heard.update(one.text for one in run.reader.leaves(step))
        elif step.kind == "tool_result":
            fields = run.reader.leaves(step)
            thing = next((one.text for one in fields if len(one.path) == 1 and is_code(one.text)), "")
            if (call := asked.get(step.parent or "")) is not None:
                findings += _compare(run, call, step, fields, told, thing if thing in heard else "")
            heard.update(one.text for one in fields if is_code(one.text))
            if thing:
                told.update({(one.path, thing): one.forms for one in fields if len(one.path) == 1})
    return findings


def _compare(
    run: Recorded, call: Step, result: Step, fields: Sequence[Leaf], told: Mapping[tuple[Path, str], frozenset[str]],
    thing: str,
) -> list[Finding]:  # fmt: skip
    part = run.part(call)
    if not fields or not isinstance(part, ToolCall):
        return []
    listed = run.layout.text(result.span).lstrip().startswith("[") if result.span is not None else False
    repeated: dict[Path, list[Leaf]] = {}
    for leaf in fields:
        repeated.setdefault(leaf.path, []).append(leaf)
    findings = []
    for leaf in run.reader.leaves(call):
        own = [one for one in repeated.get(leaf.path, ()) if one.kind == leaf.kind]
        if not own or not _contradicts(leaf, own, listed=listed):
            continue
        field, first = "/".join(leaf.path), own[0]
        before = told.get((leaf.path, thing)) if thing and thing != first.text else None
        word = leaf.kind == "text" and not is_capitals(leaf.text)
        if agree(before, first.forms) if before is not None else bool(thing) and word:
            findings.append(Finding(
                check="not_applied", holds=False, places=(first.span, leaf.span),
                message=f"{part.name} was asked for {leaf.text} ({field}); its result still says {first.text}.",
            ))  # fmt: skip
        else:
            findings.append(Finding(
                check="argument_echo", holds=False, places=(leaf.span, first.span),
                message=f"{part.name} was called with {leaf.text} ({field}); its result says {first.text}.",
            ))  # fmt: skip
    return findings


def _contradicts(leaf: Leaf, own: Sequence[Leaf], *, listed: bool) -> bool:
    if any(agree(leaf.forms, one.forms) for one in own):
        return False
    if not listed:
        return True
    if is_capitals(leaf.text):
        return True
    return leaf.kind != "text" and len({one.forms for one in own}) == 1
