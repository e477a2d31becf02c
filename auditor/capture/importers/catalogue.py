"""The table of trace formats: `auditor import NAME FILE`. One file per format, listed here once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auditor.capture.importers import tau_bench
from auditor.capture.importers.imported import Imported
from auditor.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Importer:
    name: str
    read: Callable[[Path], list[Imported]]
    origin: str
    """Where files of this format come from and under which licence, unless told otherwise."""
    about: str


IMPORTERS: tuple[Importer, ...] = (
    Importer(
        name="tau_bench", read=lambda path: tau_bench.read(path),
        origin="sierra-research/tau-bench historical trajectories, MIT",
        about="tau-bench result file: customer-service runs with tool calls, rewards and gold actions",
    ),
)  # fmt: skip


def importer(name: str) -> Importer:
    """The importer of a format; BadInput lists the known ones."""
    for one in IMPORTERS:
        if one.name == name:
            return one
    raise BadInput("format", f"{name!r} is not known", f"use {', '.join(one.name for one in IMPORTERS)}")
