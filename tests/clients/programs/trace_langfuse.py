"""Langfuse's drop-in openai client and its decorators."""

import json
import sys

from jobs import Job, run
from langfuse import Langfuse, observe
from langfuse.openai import OpenAI
from openai_loop import loop

langfuse = Langfuse(host=json.loads(sys.argv[1])[0]["otlp"], public_key="pk-lf-1", secret_key="sk-lf-1")


@observe(name="shop", as_type="agent")
def rooted(job: Job) -> str:
    @observe(name="look_up", as_type="tool")
    def look_up(item: str) -> str:
        return job.look_up(item)

    return loop(job, OpenAI, look_up)


run({"openai": lambda job: loop(job, OpenAI), "openai_rooted": rooted})
langfuse.flush()
