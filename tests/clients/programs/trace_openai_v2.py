"""OpenTelemetry's own instrumentation of the openai client, with and without the content of messages."""

import json
import os
import sys

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ.setdefault("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")

from jobs import Job, run  # noqa: E402
from openai import OpenAI  # noqa: E402
from openai_loop import loop  # noqa: E402
from opentelemetry import trace  # noqa: E402
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: E402
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: E402

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{json.loads(sys.argv[1])[0]['otlp']}/v1/traces")))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument(tracer_provider=provider)


def rooted(job: Job) -> str:
    with provider.get_tracer("shop").start_as_current_span("invoke_agent shop", attributes={
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "shop"}):  # fmt: skip
        return loop(job, OpenAI)


run({"openai": lambda job: loop(job, OpenAI), "openai_rooted": rooted})
provider.shutdown()
