"""Hand-made runs, and what every structure test needs: build one, read a span."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from auditor.records.canonical import sha256_hex
from auditor.records.messages import Message, Span, span_text
from auditor.records.structure import Claim, Finding, Structure
from auditor.structure.build import build, messages_of
from auditor.structure.inputs import RecordedCall, RecordedSpan, RecordedTranscript
from auditor.structure.threads import group


@pytest.fixture(scope="session")
def runs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("structure_runs", Path(__file__).with_name("runs.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["structure_runs"] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Built:
    """A structure with its messages, and questions about it."""

    structure: Structure
    messages: dict[str, Message]
    store: dict[str, bytes] = field(default_factory=dict)

    def text(self, span: Span) -> str:
        return span_text(self.messages[span.message], span)

    def kinds(self) -> list[str]:
        return [step.kind for step in self.structure.steps]

    def claims(self, type_: str) -> list[tuple[tuple[str, ...], str, str, str]]:
        """Source texts, target text, status and found_by of the claims of a type."""
        return [
            (tuple(map(self.text, one.sources)), self.text(one.target), one.status, one.found_by)
            for one in self.structure.claims
            if one.type == type_
        ]

    def claim(self, type_: str) -> Claim:
        (only,) = [one for one in self.structure.claims if one.type == type_]
        return only

    def findings(self, check: str) -> list[Finding]:
        return [one for one in self.structure.findings if one.check == check]


class Builder:
    def __call__(
        self,
        calls: Sequence[RecordedCall] = (),
        spans: Sequence[RecordedSpan] = (),
        transcripts: Sequence[RecordedTranscript] = (),
        version: int = 1,
    ) -> Built:
        (thread,) = group(calls, spans, transcripts)
        store: dict[str, bytes] = {}

        def put(data: bytes) -> str:
            address = sha256_hex(b"salt" + data)
            store[address] = data
            return address

        structure = build(thread, put, version)
        return Built(structure=structure, messages=messages_of(structure, store.__getitem__), store=store)


@pytest.fixture
def made() -> Builder:
    return Builder()
