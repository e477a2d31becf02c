"""What the record alone decides, what may never decide, and what the run's claims say about each other."""

import json
from dataclasses import replace

import pytest

from auditor.errors import BadSetup
from auditor.records import wire
from auditor.records.canonical import canonical_bytes
from auditor.records.evidence import Estimate, Evidence
from auditor.records.structure import Finding, Step, Structure
from auditor.records.verdict import Verdict
from auditor.verdict.combine import judge
from auditor.verdict.protocol import Cited
from auditor.verdict.rules import reversal, selector
from auditor.verdict.table import rules, table


def stored(value: object) -> object:
    """A value as it comes back from the ledger: through its canonical bytes."""
    return json.loads(canonical_bytes(wire.write(value)))


class TestRecordChecks:
    def test_a_broken_check_contradicts_even_without_weights(self, bench) -> None:
        claim, other = bench.claim(), bench.claim(target=3)
        bench.digest = "unknown"
        bench.findings.append(
            Finding(check="stated_value", holds=False, message="It says 12, the tool said 17.",
                    places=(), claim=claim.id)
        )  # fmt: skip
        first, second = bench.judge()
        assert (first.verdict, first.reason, first.method) == ("contradicted", None, "record checks")
        assert first.text == "It says 12, the tool said 17: contradicted."
        assert first.findings[0].cites == ("structure-record",)
        assert (second.claim, second.verdict, second.reason) == (other.id, "undetermined", "weights_unavailable")

    def test_it_wins_over_an_intervention(self, bench) -> None:
        claim = bench.claim()
        bench.measured(claim, 8.0)
        bench.findings.append(Finding(check="c", holds=False, message="No.", places=(), claim=claim.id))
        verdict = bench.one()
        assert verdict.verdict == "contradicted" and verdict.effect.value is not None

    def test_untied_checks_count_when_they_set_source_against_target(self, bench) -> None:
        claim = bench.claim()
        broken = Finding(check="c", holds=False, message="12 is not 17.", places=(claim.sources[0], claim.target))
        bench.findings.append(broken)
        assert bench.one().verdict == "contradicted"
        bench.findings[:] = [replace(broken, places=(claim.sources[0],))]
        assert bench.one().verdict == "undetermined"
        bench.findings[:] = [replace(broken, holds=True)]
        assert bench.one().verdict == "undetermined"
        bench.findings[:] = [broken]
        bench.claims[0] = replace(claim, status="available")
        assert bench.one().verdict == "undetermined"


class TestSelector:
    @pytest.mark.parametrize(("effects", "word"), [([0.0, 1.0, 1.0], "relied_on"), ([0.0, 0.0, 0.0], "decorative")])
    def test_scores_are_judged_by_running_the_selector_again(self, bench, effects: list[float], word: str) -> None:
        claim = bench.claim("score_branch")
        bench.evidence(claim, [bench.arm("selector_swap", effects)], kind="record", method="selector@1", fidelity=None)
        verdict = bench.one()
        assert (verdict.verdict, verdict.effect.unit) == (word, "share")
        assert f"{int(sum(effects))} of 3 replays" in verdict.text

    def test_an_ablation_does_not_decide_on_scores(self, bench) -> None:
        bench.measured(bench.claim("score_branch"), 8.0)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "unsupported")


class TestWhatMayNotDecide:
    @pytest.mark.parametrize("kind", ["attribution", "provenance", "feature", "influence"])
    def test_other_kinds_never_decide_even_with_arms(self, bench, kind: str) -> None:
        bench.measured(bench.claim(), 8.0, kind=kind, method="loud@1")
        verdict = bench.one()
        assert (verdict.verdict, verdict.evidence) == ("undetermined", ())

    @pytest.mark.parametrize("kind", ["attribution", "provenance", "feature", "influence"])
    @pytest.mark.parametrize("effect", [0.0, 8.0])
    def test_they_never_change_a_verdict(self, bench, kind: str, effect: float) -> None:
        claim = bench.claim()
        bench.measured(claim, effect)
        alone = bench.judge()
        bench.measured(claim, 8.0 - effect, kind=kind, method="loud@1", decoy=9.0)
        bench.evidence(claim, kind=kind, method="other@1", reason="weights_changed")
        assert bench.judge() == alone


class TestSameKind:
    def test_a_named_unused_source_is_contradicted_when_an_unnamed_one_was_used(self, bench) -> None:
        named, used = bench.claim(), bench.claim(status="available")
        bench.measured(named, 0.0)
        bench.measured(used, 5.0)
        first, second = bench.judge()
        assert (first.verdict, second.verdict, second.disclosed) == ("contradicted", "relied_on", False)
        assert "not named" in first.text

    @pytest.mark.parametrize(
        ("type", "status", "target"), [("prompt_answer", "available", 0), ("tool_answer", "stated", 0),
                                       ("tool_answer", "available", 5)]
    )  # fmt: skip
    def test_not_by_another_kind_a_named_source_or_another_decision(self, bench, type, status, target) -> None:
        bench.measured(bench.claim(), 0.0)
        bench.measured(bench.claim(type, status=status, target=target), 5.0)
        assert [verdict.verdict for verdict in bench.judge()] == ["decorative", "relied_on"]

    def test_a_source_nobody_named_stays_decorative(self, bench) -> None:
        bench.measured(bench.claim(status="available"), 0.0)
        bench.measured(bench.claim(status="available"), 5.0)
        assert [verdict.verdict for verdict in bench.judge()] == ["decorative", "relied_on"]


class TestDisclosure:
    def test_stated_is_disclosed_and_available_is_not_once_reasons_were_given(self, bench) -> None:
        bench.measured(bench.claim(), 5.0)
        bench.measured(bench.claim(status="available", target=2), 5.0)
        bench.measured(bench.claim("prompt_answer", status="available", target=2), 5.0)
        assert [verdict.disclosed for verdict in bench.judge()] == [True, False, None]

    def test_a_run_without_reasons_cannot_disclose(self, bench) -> None:
        bench.measured(bench.claim(status="available"), 5.0)
        assert bench.one().disclosed is None
        bench.steps.append(
            Step(id="x", kind="thought", parent=None, call="c", message="out", span=None, label="", order=0, at=None)
        )
        assert bench.one().disclosed is False


class TestDerivation:
    def test_the_same_records_give_the_same_verdicts(self, bench) -> None:
        for target, effect in enumerate([8.0, 0.0, 0.15, -1.0, 0.5]):
            bench.measured(bench.claim(target=target), effect, placebo=0.001)
        once = bench.judge()
        again = judge(
            wire.read(Structure, stored(bench.structure)), "structure-record",
            [Cited(id, wire.read(Evidence, stored(evidence))) for id, evidence in bench.cited],
            bench.protocol, bench.payload,
        )  # fmt: skip
        assert again == once == bench.judge()
        assert [wire.read(Verdict, stored(verdict)) for verdict in once] == once

    def test_every_claim_gets_exactly_one_verdict(self, bench) -> None:
        bench.measured(bench.claim(), 8.0)
        bench.claim("step_answer", target=4)
        assert [verdict.claim for verdict in bench.judge()] == [claim.id for claim in bench.claims]

    def test_a_run_without_claims_has_no_verdicts(self, bench) -> None:
        assert bench.judge() == []

    def test_a_missing_number_always_has_a_reason(self, bench) -> None:
        bench.claim()
        effect = bench.one().effect
        assert isinstance(effect, Estimate) and effect.value is None and effect.reason is not None


def test_two_rules_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reversal, "NAME", selector.NAME)
    with pytest.raises(BadSetup, match="selector"):
        rules()
    assert list(table([selector])) == ["selector"]
