"""Verdicts as plain sentences: number, unit, interval, what was changed, what was not checked."""

from dataclasses import replace

from auditor.records.evidence import Estimate, Interval
from auditor.records.structure import Claim
from auditor.statistics.intervals import t_interval, wilson
from auditor.verdict.case import Bench, Case
from auditor.verdict.draws import Draws

SOURCE_WORDS = {
    "tool": "that tool output", "document": "that document", "step": "that step", "prompt": "that part of the prompt",
    "score": "that score", "branch": "that branch",
}  # fmt: skip

DONE = {
    "swap": "Swapping", "resample": "Resampling", "mask": "Hiding", "delete": "Deleting",
    "joint": "Changing, together with its duplicates,",
}  # fmt: skip

POPULATIONS = {
    "swap": "same-type replacements of the source",
    "resample": "on-policy replacements of the source",
    "mask": "passes with the source hidden",
    "delete": "passes with the source deleted",
    "joint": "joint changes of the source and its duplicates",
    "copies": "changes of the duplicates alone",
    "selector_swap": "changes of the score",
}


def source_words(case: Case) -> str:
    return SOURCE_WORDS[case.kind]


def target_words(claim: Claim) -> str:
    return "action" if claim.type.endswith("_action") else "choice" if claim.type == "score_branch" else "answer"


def number(value: float) -> str:
    """Three significant digits, no exponent, no minus before zero; what is below 0.001 is said to be so."""
    if value == 0:
        return "0"
    if abs(value) < 0.001:
        return "-0.000" if value < 0 else "0.000"
    digits = 3 if abs(value) < 0.1 else 2 if abs(value) < 1 else 1
    return f"{value:.{digits}f}"


def nats(value: float) -> str:
    """An absolute amount, with `less than 0.001` where it is smaller than that."""
    return "less than 0.001 nats" if abs(value) < 0.001 else f"{number(abs(value))} nats"


def estimate(draws: Draws, level: float) -> Estimate:
    """Mean effect of an arm with Student's t interval, never narrower than the noise floor."""
    bounds = t_interval(draws.effects, level, draws.floor)
    interval = None
    if bounds is not None:
        interval = Interval(**vars(bounds), population=POPULATIONS.get(draws.family, draws.family))
    return Estimate(name=draws.family, value=draws.mean, unit="nats", interval=interval)


def replayed_share(case: Case, level: float) -> Estimate:
    """Share of selector replays in which the choice changed: as the method states it (exact where it tried every order
    of the scores), else with Wilson's interval.
    """
    draws = case.draws["selector_swap"]
    for arm in case.decider.evidence.arms if case.decider is not None else ():
        exact = arm.mean.unit in {"share", "probability"} and arm.mean.interval is not None
        if arm.family == "selector_swap" and exact:
            return replace(arm.mean, name="selector_swap")
    moved = sum(1 for effect in draws.effects if effect != 0)
    bounds = wilson(moved, draws.n, level)
    interval = Interval(**vars(bounds), population=POPULATIONS["selector_swap"])
    return Estimate(name="selector_swap", value=moved / draws.n, unit="share", interval=interval)


def moved(case: Case, draws: Draws, effect: Estimate) -> str:
    """`Swapping that tool output lowered the answer's log-probability by 8.5 nats [8.1, 8.9] in 32 draws`."""
    subject = f"{DONE.get(draws.family, draws.family)} {source_words(case)}"
    verb = "lowered" if draws.mean >= 0 else "raised"
    text = f"{subject} {verb} the {target_words(case.claim)}'s log-probability by {nats(draws.mean)}"
    if effect.interval is not None:
        low, high = sorted((effect.interval.low, effect.interval.high))
        sign = 1 if draws.mean >= 0 else -1
        low, high = sorted((sign * low, sign * high))
        text += f" [{number(low)}, {number(high)}]"
    bound = 0.0
    same = sum(1 for value in draws.effects if value * (1 if draws.mean >= 0 else -1) > bound)
    return f"{text} in {same} of {draws.n} draws"


def unmoved(case: Case, bench: Bench) -> str:
    """`Swapping or hiding that tool output moved the answer's log-probability by at most 0.01 nats…`."""
    explained = case.explained_by_copies(bench.superiority_bound(case), bench.protocol.false_discovery_rate)
    joint = None if explained else case.joint
    arms = [arm for arm in (case.change, case.removal, joint) if arm is not None]
    largest = max(abs(arm.mean) for arm in arms)
    verbs = [DONE.get(arm.family, arm.family).split(",")[0] for arm in arms if arm.family != "joint"]
    doing = " or ".join([verbs[0], *(verb.lower() for verb in verbs[1:])])
    with_copies = ", alone or together with its duplicates," if joint is not None else ""
    with_copies = " (not its duplicates, which move the decision by themselves)" if explained else with_copies
    margin = bench.protocol.equivalence_margin
    draws = case.change.n if case.change is not None else 0
    return (
        f"{doing} {source_words(case)}{with_copies} moved the {target_words(case.claim)}'s log-probability by"
        f" {nats(largest)} on average, within ±{number(margin)} nats, over {draws} draws"
    )


def not_checked(case: Case) -> tuple[str, ...]:
    """What this verdict does not rest on, so that nobody takes it for tested."""
    if case.claim.type == "score_branch":
        return ("whether the scores themselves mean anything",)
    missing = []
    for family, words in (
        ("placebo", "a meaning-preserving rewrite"), ("decoy", "a decoy edit"), ("joint", "a change with duplicates"),
        ("mask", "hiding the source"), ("swap", "swapping the source"),
    ):  # fmt: skip
        if family not in case.draws:
            why = case.skipped.get(family)
            missing.append(f"{words} ({why})" if why else words)
    missing.append("free continuation after the change")
    if case.decider is not None and case.decider.evidence.fidelity is None:
        missing.append("fidelity of the replay")
    return tuple(missing)
