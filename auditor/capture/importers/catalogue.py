"""The table of trace formats: `auditor import NAME FILE`. One file per format, listed here once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from auditor.capture.importers import (
    chat_lines,
    gsm8k,
    inspect_log,
    intercode,
    langfuse,
    langsmith,
    otlp,
    tau_bench,
    tree_of_thoughts,
)
from auditor.capture.importers.imported import Imported, Item
from auditor.capture.importers.rows import Progress, Source, silent
from auditor.errors import BadInput


class Read(Protocol):
    """(file or its bytes, told how far it is) -> what the file holds; BadInput names the place that is wrong."""

    def __call__(self, source: Source, progress: Progress = silent) -> Iterable[Item]: ...


@dataclass(frozen=True, kw_only=True)
class Importer:
    name: str
    read: Read
    origin: str
    """Where files of this format come from and under which licence, unless told otherwise."""
    about: str


def _tau_bench(source: Source, progress: Progress = silent) -> list[Imported]:
    return tau_bench.read(source)


IMPORTERS: tuple[Importer, ...] = (
    Importer(
        name="tau_bench", read=_tau_bench,
        origin="sierra-research/tau-bench historical trajectories, MIT",
        about="tau-bench result file: customer-service runs with tool calls, rewards and gold actions",
    ),
    Importer(
        name="otlp", read=otlp.read, origin="OTLP file, licence not stated",
        about="OpenTelemetry traces and logs: OTLP/JSON, JSON Lines of requests, or protobuf",
    ),
    Importer(
        name="openai_jsonl", read=chat_lines.read_openai, origin="JSON Lines of OpenAI calls, licence not stated",
        about="JSON Lines of conversations (messages) or of request and response pairs, chat or Responses",
    ),
    Importer(
        name="anthropic_jsonl", read=chat_lines.read_anthropic,
        origin="JSON Lines of Anthropic calls, licence not stated",
        about="JSON Lines of conversations (messages) or of request and response pairs",
    ),
    Importer(
        name="langsmith", read=langsmith.read, origin="LangSmith export, licence not stated",
        about="LangSmith runs, JSON Lines or JSON",
    ),
    Importer(
        name="langfuse", read=langfuse.read, origin="Langfuse export, licence not stated",
        about="Langfuse traces or observations, JSON Lines or JSON",
    ),
    Importer(
        name="inspect", read=inspect_log.read, origin="Inspect evaluation log, licence not stated",
        about="Inspect AI evaluation log, .json or .eval",
    ),
    Importer(
        name="tree_of_thoughts", read=tree_of_thoughts.read,
        origin="princeton-nlp/tree-of-thought-llm logs, MIT",
        about="tree-of-thought-llm log: breadth-first or depth-first search, or sampled chains",
    ),
    Importer(
        name="intercode", read=intercode.read, origin="princeton-nlp/intercode logs, MIT",
        about="InterCode log: ReAct or multi-turn episodes with rewards",
    ),
    Importer(
        name="gsm8k", read=gsm8k.read, origin="openai/grade-school-math, MIT",
        about="GSM8K problems with solutions, or solutions of several models, JSON Lines",
    ),
)  # fmt: skip


def importer(name: str) -> Importer:
    """The importer of a format; BadInput lists the known ones."""
    for one in IMPORTERS:
        if one.name == name:
            return one
    raise BadInput("format", f"{name!r} is not known", f"use {', '.join(one.name for one in IMPORTERS)}")
