"""asked_again: a tool is not called again with the arguments it was called with before, when its result was a success.

A finding needs: the same tool, the same arguments (their JSON, whatever its spacing), a first result that was no error
and not empty, a second result that says the very same, and between the two no call of a tool that may have changed
something. A tool changes nothing when its name begins with a word for reading (get, search, list…). Not seen: the
same question in other arguments.
"""

from auditor.records.messages import ToolCall
from auditor.records.structure import Finding, Step
from auditor.structure.checks.acts import is_error
from auditor.structure.checks.protocol import Recorded
from auditor.structure.layout import arguments_form

_READS = frozenset({
    "get", "search", "list", "find", "read", "lookup", "look", "fetch", "query", "show", "view", "check", "calculate",
    "calculator", "compute", "think", "retrieve", "describe", "count", "select", "browse", "load",
})  # fmt: skip


def check(run: Recorded) -> list[Finding]:
    """One finding for each call that asks again, beside the first result."""
    findings: list[Finding] = []
    steps = {step.id: step for step in run.layout.steps}
    answered: dict[tuple[str, str], Step] = {}
    for step in run.layout.steps:
        if step.kind != "tool_result" or step.span is None:
            continue
        asked = steps.get(step.parent or "")
        part = run.part(asked) if asked is not None else None
        if asked is None or asked.span is None or not isinstance(part, ToolCall):
            continue
        key = (part.name, arguments_form(part.arguments))
        first = answered.get(key)
        if first is not None and first.span is not None and run.layout.text(first.span) == run.layout.text(step.span):
            findings.append(Finding(
                check="asked_again", holds=False, places=(asked.span, first.span),
                message=f"{part.name} was called again with the same arguments, and answered the same, though its "
                "result was recorded.",
            ))  # fmt: skip
        if not _reads(part.name):
            answered.clear()
        if not is_error(run, step) and run.layout.text(step.span).strip():
            answered.setdefault(key, step)
    return findings


def _reads(tool: str) -> bool:
    return tool.casefold().replace("-", "_").split("_")[0] in _READS
