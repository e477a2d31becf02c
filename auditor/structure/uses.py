"""Tools and retrievals that spans tell of: which of them no recorded message says, and what they say."""

from auditor.records.canonical import canonical_bytes
from auditor.records.messages import ToolCall, ToolResult
from auditor.structure.inputs import RecordedSpan, Thread


def ended(recorded: RecordedSpan) -> str:
    """When it was over, by its own account; empty when it does not say."""
    return recorded.span.ended or recorded.span.started or ""


def unheard(thread: Thread) -> list[RecordedSpan]:
    """Uses whose result is in no message of a call, in order of their end."""
    if not thread.uses:
        return []
    ids: set[str] = set()
    texts: set[str] = set()
    read: set[int] = set()
    """Objects that several calls share; the calls keep them alive."""
    for recorded in thread.calls:
        for message in (*recorded.call.messages, *recorded.call.outputs):
            if id(message) in read:
                continue
            read.add(id(message))
            for part in message.parts:
                if isinstance(part, ToolResult):
                    texts.add(part.text.strip())
                    if part.call_id:
                        ids.add(part.call_id)
    found = []
    for use in thread.uses:
        call, result, _ = said_by(use)
        heard = call.call_id in ids if call.call_id else bool(result.text.strip()) and result.text.strip() in texts
        if not heard:
            found.append(use)
    return sorted(found, key=lambda use: (ended(use), use.span.span_id))


def said_by(recorded: RecordedSpan) -> tuple[ToolCall, ToolResult, str]:
    """(what was asked, what came back, rule) of a tool's or retrieval's span."""
    seen = recorded.observation
    if seen is not None and seen.tool is not None:
        tool = seen.tool
        call = ToolCall(call_id=tool.call_id, name=tool.name, arguments=tool.arguments or "")
        gave = ToolResult(call_id=tool.call_id, name=tool.name, text=tool.result or "", is_error=tool.is_error)
        return call, gave, "tool_span"
    query = seen.query if seen is not None else None
    documents = [vars(one) for one in seen.documents] if seen is not None else []
    asked = canonical_bytes({"query": query}).decode() if query is not None else ""
    name = recorded.span.name or "retrieval"
    call = ToolCall(call_id=None, name=name, arguments=asked)
    return call, ToolResult(call_id=None, name=name, text=canonical_bytes(documents).decode()), "retrieval_span"
