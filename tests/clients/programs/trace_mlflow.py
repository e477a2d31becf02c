"""MLflow's tracing of the openai client, exported over OTLP."""

import json
import os
import sys

os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{json.loads(sys.argv[1])[0]['otlp']}/v1/traces"
os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"

import mlflow  # noqa: E402
from jobs import Job, run  # noqa: E402
from openai import OpenAI  # noqa: E402
from openai_loop import loop  # noqa: E402

mlflow.openai.autolog()


def rooted(job: Job) -> str:
    @mlflow.trace(span_type="TOOL", name="look_up")
    def look_up(item: str) -> str:
        return job.look_up(item)

    with mlflow.start_span("shop", span_type="AGENT"):
        return loop(job, OpenAI, look_up)


run({"openai": lambda job: loop(job, OpenAI), "openai_rooted": rooted})
mlflow.flush_trace_async_logging()
