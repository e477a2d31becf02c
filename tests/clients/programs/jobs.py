"""What every client program shares: it is told what to do and says what came of it, line by line.

Each job is a JSON object: `mode` (which of the program's ways), `base` (address without `/v1`), `item` and `price`
(what the question is about and what the tool says), `otlp` (where spans go). One line of JSON per job goes to standard
output: `mode`, and `answer` or `error`. Runs in an environment that holds the client and nothing of this project.
"""

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MODEL = "scripted-model"
KEY = "sk-test-0123456789abcdef"
SYSTEM = "You sell things. Look prices up before you answer."


@dataclass(frozen=True)
class Job:
    mode: str
    base: str
    item: str
    price: str
    otlp: str = ""

    @property
    def question(self) -> str:
        return f"What does the {self.item} cost?"

    def look_up(self, item: str) -> str:
        """What the tool gives back."""
        return f"{item}: {self.price} euro"


def run(ways: Mapping[str, Callable[[Job], Any]]) -> None:
    """Do the jobs in order; a job that fails does not keep the next from being done."""
    for told in json.loads(sys.argv[1]):
        job = Job(**told)
        try:
            answer = ways[job.mode](job)
            if inspect.iscoroutine(answer):
                answer = asyncio.run(answer)
            print(json.dumps({"mode": job.mode, "answer": str(answer)}), flush=True)
        except Exception:  # whatever the client raised is what the test shows
            print(json.dumps({"mode": job.mode, "error": traceback.format_exc()}), flush=True)
