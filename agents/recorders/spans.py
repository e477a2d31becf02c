"""One run's spans: the agent, its tools and its branch selector, in OpenTelemetry's GenAI words.

`auditor.run` joins the spans to what a recording proxy saw of the same run; `auditor.selection` carries what a
selector was given and what it took.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def tracer_provider(endpoint: str, headers: Mapping[str, str] | None = None) -> TracerProvider:
    """A provider of its own (nothing global) that sends spans to an OTLP/HTTP endpoint such as `…/v1/traces`."""
    provider = TracerProvider(resource=Resource.create({"service.name": "reference-agents"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, headers=dict(headers or {}))))
    return provider


class RunRecorder(BaseCallbackHandler):
    """Spans of one run: a root `invoke_agent`, one `execute_tool` per tool, `retrieve` per search, `select_branch` per
    choice, `vote` per vote."""

    def __init__(self, tracer: trace.Tracer, run: str, agent: str) -> None:
        self.run = run
        self._tracer = tracer
        self._agent = agent
        self._root: trace.Span | None = None
        self._tools: dict[UUID, trace.Span] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keeps the run's root span open."""
        root = self._tracer.start_span(f"invoke_agent {self._agent}")
        root.set_attributes(self._common("invoke_agent") | {"gen_ai.agent.name": self._agent})
        self._root = root
        try:
            yield
        except Exception as fault:
            root.record_exception(fault)
            root.set_status(trace.StatusCode.ERROR, str(fault))
            raise
        finally:
            root.end()

    def traceparent(self) -> str:
        """W3C trace context of the root span, to be sent with every model call."""
        context = self._opened().get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def selection(
        self, selector: str, candidates: Sequence[Mapping[str, Any]], kept: Sequence[int], depth: int = 1
    ) -> None:
        """What a branch selector was given and which candidates it kept, the best first."""
        event: dict[str, Any] = {"selector": selector, "candidates": [dict(one) for one in candidates],
                                 "chosen": kept[0]}  # fmt: skip
        if len(kept) > 1 or depth > 1:
            event |= {"kept": list(kept), "depth": depth}
        self._select(event)

    def visit(self, path: Sequence[str], score: float, prune_below: float) -> None:
        """One state a depth-first search looked at; it goes on from there unless the score is below the bound."""
        self._select({
            "selector": "depth_first", "prune_below": prune_below, "visits": [{"path": list(path), "score": score}],
        })  # fmt: skip

    def vote(self, answers: Sequence[str | None], winner: str) -> None:
        """What each sampled chain answered, in the order they were drawn, and which answer won."""
        span = self._tracer.start_span("vote", context=trace.set_span_in_context(self._opened()))
        event = {"answers": list(answers), "winner": winner}
        span.set_attributes(self._common("vote") | {"auditor.vote": json.dumps(event)})
        span.end()

    def _select(self, event: Mapping[str, Any]) -> None:
        span = self._tracer.start_span("select_branch", context=trace.set_span_in_context(self._opened()))
        span.set_attributes(self._common("select_branch") | {"auditor.selection": json.dumps(event)})
        span.end()

    def retrieved(self, query: str, documents: Sequence[Mapping[str, Any]]) -> None:
        """What a retriever was asked and what it gave: `id`, `content` and `score` of each document."""
        span = self._tracer.start_span("retrieve", context=trace.set_span_in_context(self._opened()))
        found = {"gen_ai.retrieval.query.text": query,
                 "gen_ai.retrieval.documents": json.dumps([dict(one) for one in documents])}  # fmt: skip
        span.set_attributes(self._common("retrieval") | found)
        span.end()

    def on_tool_start(
        self, serialized: dict[str, Any], input_str: str, *, run_id: UUID, inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        span = self._tracer.start_span(
            f"execute_tool {serialized.get('name')}", context=trace.set_span_in_context(self._opened())
        )
        span.set_attributes(self._common("execute_tool") | {"gen_ai.tool.name": str(serialized.get("name"))})
        span.set_attribute("gen_ai.tool.call.arguments", json.dumps(inputs) if inputs is not None else input_str)
        self._tools[run_id] = span

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        span = self._tools.pop(run_id)
        call_id = getattr(output, "tool_call_id", None)
        if call_id:
            span.set_attribute("gen_ai.tool.call.id", call_id)
        span.set_attribute("gen_ai.tool.call.result", str(getattr(output, "content", output)))
        span.end()

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        span = self._tools.pop(run_id)
        span.set_status(trace.StatusCode.ERROR, str(error))
        span.end()

    def _common(self, operation: str) -> dict[str, str]:
        return {"auditor.run": self.run, "gen_ai.operation.name": operation}

    def _opened(self) -> trace.Span:
        if self._root is None:
            raise RuntimeError("use `with recorder.recording():` around the run")
        return self._root
