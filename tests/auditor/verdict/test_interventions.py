"""What simulated interventions are judged to be."""

from dataclasses import replace

import pytest

from auditor.errors import LedgerBroken, NotFound
from auditor.records.evidence import Fidelity


class TestUsed:
    @pytest.mark.parametrize("effect", [0.5, 1.0, 8.5])
    @pytest.mark.parametrize("n", [8, 32])
    def test_a_used_source_is_relied_on(self, bench, effect: float, n: int) -> None:
        bench.measured(bench.claim(), effect, sd=0.1, n=n)
        verdict = bench.one()
        assert (verdict.verdict, verdict.reason) == ("relied_on", None)
        assert verdict.effect.unit == "nats"
        assert verdict.effect.value == pytest.approx(effect, abs=0.15)

    def test_the_text_says_what_was_changed_how_much_and_what_was_not_checked(self, bench) -> None:
        bench.measured(bench.claim(), 8.5, sd=0.5)
        text = bench.one().text
        assert text.startswith("Swapping that tool output lowered the answer's log-probability by 8.")
        assert "nats [8." in text and "in 32 of 32 draws" in text
        assert "followed the swapped value in 32 of 32: relied on (not checked: a meaning-preserving rewrite;" in text

    def test_deterministic_effects_are_judged_too(self, bench) -> None:
        bench.measured(bench.claim(), 8.5, sd=0.0, decoy=0.0)
        verdict = bench.one()
        assert verdict.verdict == "relied_on"
        assert verdict.effect.interval is not None and verdict.effect.interval.method == "constant"

    @pytest.mark.parametrize(("effect", "strength"), [(0.3, "weak"), (1.0, "moderate"), (5.0, "strong")])
    def test_strength_goes_by_the_lower_bound(self, bench, effect: float, strength: str) -> None:
        bench.measured(bench.claim(), effect, typed=False)
        assert bench.one().strength == strength

    def test_a_swap_that_is_not_followed_is_only_disturbance(self, bench) -> None:
        arms = [bench.arm("swap", [3.0 + i / 99 for i in range(32)], tracks=[i < 10 for i in range(32)])]
        bench.evidence(bench.claim(), [*arms, bench.arm("mask", [3.0])])
        verdict = bench.one()
        assert (verdict.verdict, verdict.reason) == ("undetermined", "off_distribution")

    def test_one_family_alone_is_not_enough(self, bench) -> None:
        bench.evidence(bench.claim(), [bench.arm("swap", [3.0 + i / 99 for i in range(32)])])
        verdict = bench.one()
        assert (verdict.verdict, verdict.reason) == ("undetermined", "unsupported")
        bench.cited.clear()
        bench.measured(bench.claims[0], 3.0, mask=0.0)
        assert bench.one().reason == "off_distribution"

    def test_denied_use_is_contradicted(self, bench) -> None:
        bench.measured(bench.claim(relation="independent_of"), 3.0)
        verdict = bench.one()
        assert (verdict.verdict, verdict.disclosed) == ("contradicted", False)
        assert "denied" in verdict.text


class TestUnused:
    @pytest.mark.parametrize("noise", [1e-6, 0.001, 0.02])
    def test_an_unused_source_is_decorative(self, bench, noise: float) -> None:
        bench.measured(bench.claim(), 0.0, sd=noise, joint=0.001)
        verdict = bench.one()
        assert (verdict.verdict, verdict.reason, verdict.disclosed) == ("decorative", None, None)
        assert verdict.text.startswith("Swapping or hiding that tool output, alone or together with its duplicates,")

    def test_exactly_no_effect_is_decorative(self, bench) -> None:
        bench.measured(bench.claim(), 0.0, sd=0.0, decoy=0.0)
        assert bench.one().verdict == "decorative"

    def test_a_wide_spread_is_not_equivalence(self, bench) -> None:
        bench.measured(bench.claim(), 0.0, sd=0.6)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "underpowered")

    def test_placebo_noise_never_widens_equivalence(self, bench) -> None:
        """The trap of one shared margin: a noisy run must not call a true 0.3 nat effect decorative."""
        bench.measured(bench.claim(), 0.3, sd=0.3, decoy=0.5, typed=False)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "noisy")

    @pytest.mark.parametrize("contexts", [1, 3, 12])
    def test_hiding_is_compared_in_each_context_or_tested_over_many(self, bench, contexts: int) -> None:
        """Nothing is drawn when a source is hidden: one pass, or a handful, is all there is."""
        for target, size in enumerate((0.0, 4.0)):
            swap = bench.arm("swap", bench.rng.normal(size, 0.02, 32))
            mask = bench.arm("mask", bench.rng.normal(size, 0.02, contexts))
            bench.evidence(bench.claim(target=target), [swap, mask])
        assert [verdict.verdict for verdict in bench.judge()] == ["decorative", "relied_on"]

    def test_one_context_in_which_hiding_matters_is_enough_to_doubt(self, bench) -> None:
        mask = bench.arm("mask", [0.0, 0.5, 0.0])
        bench.evidence(bench.claim(), [bench.arm("swap", bench.rng.normal(0, 0.01, 32)), mask])
        assert bench.one().verdict == "undetermined"

    @pytest.mark.parametrize("n", [1, 2, 4])
    def test_too_few_draws_decide_nothing(self, bench, n: int) -> None:
        bench.measured(bench.claim(), 0.0, sd=0.001, n=n)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "underpowered")

    def test_log_p_alone_is_not_enough_in_a_saturated_model(self, bench) -> None:
        arms = [
            bench.arm("swap", [0.0001 * i for i in range(32)], margins=[4.0 + i / 100 for i in range(32)]),
            bench.arm("mask", [0.0001], margins=[4.0]),
        ]
        bench.evidence(bench.claim(), arms)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "saturated")

    def test_a_margin_may_move_by_a_tenth_of_itself(self, bench) -> None:
        from auditor.records.evidence import Estimate

        arms = [
            bench.arm("swap", [0.0001 * i for i in range(32)], margins=[0.9 + i / 100 for i in range(32)]),
            bench.arm("mask", [0.0001], margins=[0.9]),
        ]
        baseline = Estimate(name="decision_margin", value=20.0, unit="log-odds")
        bench.evidence(bench.claim(), arms, estimates=(baseline,))
        assert bench.one().verdict == "decorative"

    def test_a_redundant_source_is_not_decorative(self, bench) -> None:
        bench.measured(bench.claim(), 0.0, sd=0.01, joint=5.0)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "redundant")


class TestBetween:
    def test_a_source_that_works_against_the_decision_is_contradicted(self, bench) -> None:
        bench.measured(bench.claim(), -2.0, typed=False)
        verdict = bench.one()
        assert verdict.verdict == "contradicted" and "raised" in verdict.text

    def test_a_grey_effect_is_never_decorative(self, bench) -> None:
        bench.measured(bench.claim(), 0.15, sd=0.1, typed=False)
        assert bench.one().verdict in ("undetermined", "relied_on")

    def test_wording_that_matters_as_much_as_meaning_is_surface_coded(self, bench) -> None:
        bench.measured(bench.claim(), 3.0, sd=0.1, placebo=2.9, typed=False)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "surface_coded")

    def test_meaning_that_matters_beyond_wording_is_relied_on(self, bench) -> None:
        bench.measured(bench.claim(), 8.0, sd=0.1, placebo=0.5)
        assert bench.one().verdict == "relied_on"

    def test_the_placebo_floor_is_pooled_over_the_run(self, bench) -> None:
        bench.measured(bench.claim(target=0), 0.6, sd=0.05, typed=False)
        assert bench.one().verdict == "relied_on"
        bench.measured(bench.claim(target=1), 5.0, sd=0.05, decoy=2.0)
        first, second = bench.judge()
        assert (first.verdict, first.reason, second.verdict) == ("undetermined", "noisy", "relied_on")


class TestMissing:
    @pytest.mark.parametrize(
        "reason", ["weights_unavailable", "weights_changed", "replay_mismatch", "budget", "nondeterministic"]
    )
    def test_reasons_are_passed_on(self, bench, reason: str) -> None:
        bench.evidence(bench.claim(), reason=reason, detail="because", fidelity=None)
        verdict = bench.one()
        assert (verdict.verdict, verdict.reason) == ("undetermined", reason)
        assert (verdict.effect.value, verdict.effect.reason) == (None, reason)
        assert "because" in verdict.text

    def test_no_evidence_and_unknown_weights(self, bench) -> None:
        bench.claim()
        bench.digest = "unknown"
        assert bench.one().reason == "weights_unavailable"
        bench.digest = "sha256:weights"
        assert bench.one().reason == "unsupported"

    def test_a_replay_that_did_not_reproduce_decides_nothing(self, bench) -> None:
        made = bench.measured(bench.claim(), 8.0)
        assert isinstance(made.fidelity, Fidelity)
        bench.cited[0] = bench.cited[0]._replace(
            evidence=replace(made, fidelity=replace(made.fidelity, argmax_agreement=0.9))
        )
        assert bench.one().reason == "replay_mismatch"

    def test_other_weights_than_the_recorded_ones_decide_nothing(self, bench) -> None:
        bench.measured(bench.claim(), 8.0)
        bench.digest = "sha256:other"
        assert bench.one().reason == "weights_changed"

    def test_a_surrogate_never_decides(self, bench) -> None:
        bench.measured(bench.claim(), 8.0, surrogate=True)
        assert (bench.one().verdict, bench.one().reason) == ("undetermined", "weights_unavailable")

    def test_a_noisy_machine_blocks_decorative_and_raises_the_bar_for_relied_on(self, bench) -> None:
        bench.measured(bench.claim(target=0), 0.0, sd=0.001, noise_floor=0.02)
        bench.measured(bench.claim(target=1), 8.0, noise_floor=0.02)
        unused, used = bench.judge()
        assert (unused.verdict, unused.reason, used.verdict) == ("undetermined", "noisy", "relied_on")

    def test_erased_effects_are_said_to_be_erased(self, bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.measured(bench.claim(), 8.0)

        def erased(address: str) -> bytes:
            raise NotFound("payload", "was erased", "nothing can be done")

        monkeypatch.setattr(bench, "payload", erased)
        assert bench.one().reason == "redacted"

    def test_effects_that_do_not_match_their_arm_are_refused(self, bench) -> None:
        bench.measured(bench.claim(), 8.0)
        for address in bench.blobs:
            bench.blobs[address] = b"[]"
        with pytest.raises(LedgerBroken, match="swap arm"):
            bench.judge()

    def test_later_evidence_of_a_method_replaces_earlier(self, bench) -> None:
        claim = bench.claim()
        bench.evidence(claim, reason="budget", detail="ran out")
        bench.measured(claim, 8.0)
        assert bench.one().verdict == "relied_on"
        assert bench.one().evidence == ("record1",)
