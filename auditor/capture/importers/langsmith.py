"""LangSmith exports: run records, as JSON Lines, a list, or under `runs` or `data`.

Fields: docs.langchain.com/langsmith/run-data-format.

A run becomes a span with OpenTelemetry's GenAI attributes; ids and fields without a word there are kept under
`langsmith.*`, and the row itself as it came.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from auditor.capture.importers.imported import Telemetry
from auditor.capture.importers.rows import Progress, Row, Source, a_text, rows, silent
from auditor.capture.importers.spans import batches, moment, said, span_id, trace_id
from auditor.records.telemetry import TelemetrySpan

WHAT = "a LangSmith export: JSON Lines or a list of runs with `id`, `run_type`, `inputs` and `outputs`"
_OPERATIONS = {
    "llm": "chat", "tool": "execute_tool", "retriever": "retrieval", "embedding": "embeddings",
    "chain": "invoke_workflow", "prompt": "prompt", "parser": "parser",
}  # fmt: skip
_SETTINGS = ("temperature", "top_p", "max_tokens", "seed", "frequency_penalty", "presence_penalty")
_KEPT = ("name", "run_type", "status", "tags", "session_name", "dotted_order", "reference_example_id")


def read(source: Source, progress: Progress = silent) -> Iterator[Telemetry]:
    """Spans of a file; BadInput names the line or entry and the field."""
    return batches(
        (row, _span(row)) for row in rows(source, WHAT, progress, holders=("runs", "data"), keys=("run_type",))
    )


def _span(row: Row) -> TelemetrySpan:
    run = row.value
    own, kind = a_text(run, "id", row.where, WHAT), a_text(run, "run_type", row.where, WHAT)
    parent, error = run.get("parent_run_id"), run.get("error")
    trace = run.get("trace_id")
    inputs, outputs, extra = _mapping(run.get("inputs")), _mapping(run.get("outputs")), _mapping(run.get("extra"))
    metadata = _mapping(extra.get("metadata"))
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": _OPERATIONS.get(kind, kind), "langsmith.id": own, "langsmith.trace_id": trace,
        "gen_ai.conversation.id": metadata.get("thread_id") or metadata.get("session_id")
        or metadata.get("conversation_id"),
        **{f"langsmith.{name}": run.get(name) for name in _KEPT},
    }  # fmt: skip
    if kind == "llm":
        attributes |= _model_call(run, inputs, outputs, extra, metadata)
    elif kind == "tool":
        attributes |= _tool(run, inputs, outputs)
    elif kind == "retriever":
        attributes |= {"gen_ai.retrieval.query.text": inputs.get("query"),
                       "gen_ai.retrieval.documents": outputs.get("documents", outputs.get("output"))}  # fmt: skip
    else:
        attributes |= {"langsmith.inputs": dict(inputs), "langsmith.outputs": dict(outputs)}
    name = run.get("name")
    return TelemetrySpan(
        trace_id=trace_id(trace if isinstance(trace, str) and trace else own), span_id=span_id(own),
        parent_span_id=span_id(parent) if isinstance(parent, str) and parent else None,
        name=name if isinstance(name, str) and name else kind, kind=1, started=moment(run.get("start_time")),
        ended=moment(run.get("end_time")), attributes=said(attributes), resource={}, scope="langsmith",
        status="error" if error else "ok", status_message=error if isinstance(error, str) and error else None,
    )  # fmt: skip


def _model_call(
    run: Mapping[str, Any], inputs: Mapping[str, Any], outputs: Mapping[str, Any], extra: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    sent = _mapping(extra.get("invocation_params"))
    answer = _mapping(outputs.get("llm_output"))
    counted = _mapping(answer.get("token_usage")) or _mapping(outputs.get("usage")) or _mapping(
        outputs.get("usage_metadata"))  # fmt: skip
    return {
        "gen_ai.request.model": metadata.get("ls_model_name") or sent.get("model") or sent.get("model_name")
        or inputs.get("model"),
        "gen_ai.provider.name": metadata.get("ls_provider"),
        "gen_ai.input.messages": inputs.get("messages") or inputs.get("prompts") or inputs.get("input")
        or (dict(inputs) or None),
        "gen_ai.output.messages": _answer(outputs),
        "gen_ai.tool.definitions": sent.get("tools") or sent.get("functions") or inputs.get("tools"),
        "gen_ai.usage.input_tokens": _first(counted, "prompt_tokens", "input_tokens", run.get("prompt_tokens")),
        "gen_ai.usage.output_tokens": _first(
            counted, "completion_tokens", "output_tokens", run.get("completion_tokens")),
        "gen_ai.response.id": answer.get("id") or outputs.get("id"),
        **{f"gen_ai.request.{name}": sent.get(name) for name in _SETTINGS},
    }  # fmt: skip


def _answer(outputs: Mapping[str, Any]) -> Any:
    """What a model gave, in whichever field."""
    if not outputs:
        return None
    if any(name in outputs for name in ("generations", "choices", "role", "content")):
        return dict(outputs)
    for name in ("output", "message", "messages"):
        value = outputs.get(name)
        if isinstance(value, dict) and not any(key in value for key in ("role", "content", "kwargs", "choices")):
            return dict(outputs)
        if value:
            return [value] if isinstance(value, dict) else value
    return dict(outputs)


def _tool(run: Mapping[str, Any], inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    given: Any = inputs.get("input") if set(inputs) == {"input"} else dict(inputs)
    gave: Any = outputs.get("output", dict(outputs) or None)
    own = inputs.get("tool_call_id") or outputs.get("tool_call_id")
    inner = gave.get("kwargs") if isinstance(gave, dict) and gave.get("lc") == 1 else gave
    if isinstance(inner, dict) and "tool_call_id" in inner:
        own, gave = inner["tool_call_id"], inner.get("content")
    return {
        "gen_ai.tool.name": run.get("name"), "gen_ai.tool.call.id": own, "gen_ai.tool.call.arguments": given,
        "gen_ai.tool.call.result": gave,
    }  # fmt: skip


def _first(counted: Mapping[str, Any], one: str, other: str, rest: Any) -> Any:
    return counted.get(one, counted.get(other, rest))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
