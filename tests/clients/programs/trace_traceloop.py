"""Traceloop's SDK (OpenLLMetry) around the openai client: a workflow with a tool."""

import json
import sys

from jobs import Job, run
from openai import OpenAI
from openai_loop import loop
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import tool, workflow

Traceloop.init(app_name="shop", api_endpoint=json.loads(sys.argv[1])[0]["otlp"], disable_batch=True,
               telemetry_enabled=False)  # fmt: skip


@workflow(name="shop")
def rooted(job: Job) -> str:
    @tool(name="look_up")
    def look_up(item: str) -> str:
        return job.look_up(item)

    return loop(job, OpenAI, look_up)


run({"openai": lambda job: loop(job, OpenAI), "openai_rooted": rooted})
