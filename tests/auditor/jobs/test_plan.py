"""The plan: which jobs, what they need, and when two questions are the same question."""

from dataclasses import replace
from pathlib import Path

import pytest

from auditor.evidence.protocol import MethodSpec
from auditor.jobs.plan import plan
from auditor.models import ModelEntry, ModelsTable
from auditor.records import wire
from auditor.records.messages import Span
from auditor.records.structure import Claim, ModelCall, PlacedPayload, Structure, claim_id


def method(name: str, needs: set[str], version: int = 1) -> MethodSpec:
    return MethodSpec(
        name=name, version=version, kind="intervention", title=name, needs=frozenset(needs), unit="nats",  # type: ignore[arg-type]
        cost="1 F", reference="", blind_spots="",
    )  # fmt: skip


ABLATION = method("ablation", {"weights"})
FEATURES = method("features", {"weights", "dictionary"})
INFLUENCE = method("influence", {"weights", "gradients", "influence_index"})
TABLE = ModelsTable(entries=(
    ModelEntry(name="tiny/*", weights=Path("w"), digest="sha256:1", training_corpus=Path("c")),
    ModelEntry(name="bare", weights=Path("v"), digest="sha256:2"),
))  # fmt: skip


SAW = PlacedPayload(id="in", parent=None, role="user", payload="p")


def claim(call: str, at: int) -> Claim:
    target = Span(message="out", part=0, start=at, end=at + 1)
    source = (Span(message="in", part=0, start=at, end=at + 1),)
    return Claim(
        id=claim_id("tool_answer", source, target, "depends_on"), type="tool_answer", status="stated",
        relation="depends_on", sources=source, target=target, source_step="s", target_step="t", call=call,
        found_by="test", text="said",
    )  # fmt: skip


def call(id: str, model: str) -> ModelCall:
    return ModelCall(
        id=id, record="rec", model=model, model_digest="sha256:1", dialect="openai_chat", inputs=("in",),
        outputs=("out",), tools=None, settings={}, at=None,
    )  # fmt: skip


CLAIMS = (claim("c1", 0), claim("c1", 2), claim("c2", 4), claim("lost", 6))


@pytest.fixture
def structure() -> Structure:
    return Structure(
        run="run", version=1, code="structure@1", agent="react", model="tiny/a", origin="proxy", records=("rec",),
        messages=(SAW,), calls=(call("c1", "tiny/a"), call("c2", "gpt"), call("c3", "tiny/a")), steps=(), claims=CLAIMS,
        links=(), findings=(),
    )  # fmt: skip


def test_one_evidence_job_per_call_with_claims_and_one_judge_that_waits(structure: Structure) -> None:
    first, second, judge = plan(structure, "sid", CLAIMS, TABLE, [ABLATION], {"replicates": 32})
    assert [first.kind, second.kind, judge.kind] == ["evidence", "evidence", "judge"]
    assert first.payload == {
        "run": "run", "structure": "sid", "call": "c1", "claims": sorted(c.id for c in CLAIMS[:2]),
        "methods": ["ablation"], "options": {"replicates": 32},
    }  # fmt: skip
    assert (first.requires.model, second.requires.model) == ("sha256:1", None)
    assert judge.depends == (first.id, second.id)
    assert judge.payload == {"run": "run", "structure": "sid", "protocol": "EP-1.0"}


def test_a_model_is_prepared_once_and_before_its_evidence(structure: Structure) -> None:
    both = replace(structure, calls=(call("c1", "tiny/a"), call("c2", "tiny/b")))
    jobs = plan(both, "sid", CLAIMS, TABLE, [ABLATION, FEATURES, INFLUENCE], {})
    assert [job.kind for job in jobs] == ["prepare", "evidence", "evidence", "judge"]
    assert jobs[0].payload == {"model": "tiny/*", "digest": "sha256:1", "what": ["dictionary", "influence_index"]}
    assert jobs[0].run is None
    assert {job.depends for job in jobs[1:3]} == {(jobs[0].id,)}


def test_nothing_is_prepared_that_nobody_needs_or_that_cannot_be_built(structure: Structure) -> None:
    assert "prepare" not in {job.kind for job in plan(structure, "s", CLAIMS, TABLE, [ABLATION], {})}
    bare = replace(structure, calls=(call("c1", "bare"),))
    assert "prepare" not in {job.kind for job in plan(bare, "s", CLAIMS, TABLE, [FEATURES], {})}


def test_the_same_question_has_the_same_ids(structure: Structure) -> None:
    again = wire.read(Structure, wire.write(structure))
    asked = plan(structure, "sid", CLAIMS, TABLE, [ABLATION], {"replicates": 32})
    assert plan(again, "sid", tuple(reversed(CLAIMS)), TABLE, [ABLATION], {"replicates": 32}) == asked


@pytest.mark.parametrize("change", ["options", "method", "digest", "claims"])
def test_another_question_has_other_ids(structure: Structure, change: str) -> None:
    asked = plan(structure, "sid", CLAIMS, TABLE, [ABLATION], {})
    methods = [method("ablation", {"weights"}, 2)] if change == "method" else [ABLATION]
    table = ModelsTable(entries=(replace(TABLE.entries[0], digest="sha256:9"),)) if change == "digest" else TABLE
    claims = CLAIMS[1:] if change == "claims" else CLAIMS
    other = plan(structure, "sid", claims, table, methods, {"replicates": 8} if change == "options" else {})
    assert other[0].id != asked[0].id and other[-1].id != asked[-1].id


def test_a_run_that_grew_keeps_its_earlier_evidence_but_is_judged_again(structure: Structure) -> None:
    grown = replace(structure, version=2, calls=(*structure.calls, call("lost", "tiny/a")))
    before = plan(structure, "sid", CLAIMS, TABLE, [ABLATION], {})
    after = plan(grown, "sid2", CLAIMS, TABLE, [ABLATION], {})
    assert [job.id for job in after[:2]] == [job.id for job in before[:2]]
    assert after[-1].id != before[-1].id


def test_a_run_without_claims_is_only_judged(structure: Structure) -> None:
    assert [job.kind for job in plan(structure, "sid", (), TABLE, [ABLATION], {})] == ["judge"]
