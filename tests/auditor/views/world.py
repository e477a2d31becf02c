"""A small recorded world for the views: valid records of every kind, verdict and reason, hostile text included."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from auditor.ledger.protocol import Entry
from auditor.ledger.sqlite import SqliteLedger
from auditor.records import wire
from auditor.records.canonical import content_id
from auditor.records.evidence import (
    REASONS,
    Arm,
    Check,
    Cost,
    Estimate,
    Evidence,
    Fidelity,
    Interval,
    Source,
    TokenRange,
)
from auditor.records.exchange import Exchange, Gap, Joins, Redaction, Times
from auditor.records.messages import Cost as Price
from auditor.records.messages import (
    Message,
    PlacedMessage,
    Reasoning,
    Span,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    part_text,
    place,
)
from auditor.records.structure import (
    Claim,
    Finding,
    ModelCall,
    PlacedPayload,
    Step,
    Structure,
    ValueLink,
    claim_id,
)
from auditor.records.verdict import Audit, RuleFinding, Verdict
from auditor.views.commands import AuditTicket, JobView, Watermark
from graph.memory import MemoryGraph
from graph.model import Node, Relation

DIGEST = "ab12" * 16
HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror=window.hacked=2> \x1b[31mred\x1b[0m \u202eevil\u202c "
    "{@html boom} ${7*7} " + "W" * 300
)


def span_of(placed: PlacedMessage, part: int, text: str, nth: int = 0) -> Span:
    """The byte span of the nth occurrence of `text` in a part."""
    data, wanted, at = part_text(placed.message.parts[part]).encode(), text.encode(), -1
    for _ in range(nth + 1):
        at = data.index(wanted, at + 1)
    return Span(message=placed.id, part=part, start=at, end=at + len(wanted))


def interval(mean: float, half: float, n: int = 32) -> Interval:
    return Interval(
        low=mean - half, high=mean + half, level=0.95, method="bootstrap-t", n=n, population="same-type swaps"
    )


def estimate(
    name: str, value: float | None, unit: str = "nats", half: float | None = None, reason: Any = None
) -> Estimate:
    return Estimate(
        name=name,
        value=value,
        unit=unit,
        reason=reason,
        interval=interval(value, half) if value is not None and half is not None else None,
    )


@dataclass
class FakeAudits:
    """Idempotent by content; jobs move when told."""

    tickets: dict[str, AuditTicket] = field(default_factory=dict)
    views: dict[str, list[JobView]] = field(default_factory=dict)
    orders: list[tuple[str, Any, Any]] = field(default_factory=list)

    def start(self, run: str, methods: Sequence[str] | None, options: Mapping[str, Any]) -> AuditTicket:
        key = content_id({"run": run, "methods": list(methods or []), "options": dict(options)})
        self.orders.append((run, methods, dict(options)))
        if key not in self.tickets:
            self.tickets[key] = AuditTicket(audit=key, jobs=(f"{key[:12]}-1", f"{key[:12]}-2"))
        if not self.views.get(run):
            self.views[run] = [
                JobView(
                    id=f"{key[:12]}-1",
                    kind="evidence: ablation",
                    state="running",
                    done=12,
                    total=32,
                    note="swapping tool output",
                    attempt=1,
                ),
                JobView(id=f"{key[:12]}-2", kind="judge", state="queued", done=0, total=0),
            ]
        return self.tickets[key]

    def progress(self, run: str) -> list[JobView]:
        return self.views.get(run, [])


class FakeHealth:
    def __init__(self, world: "World") -> None:
        self._world = world
        self.trouble: list[str] = []
        self.notes: list[str] = []
        self.spool = 0
        self.marks = [Watermark(project="default", accepted=9, durable=8, projected=7, runs=3, evidence_attached=2)]

    def watermarks(self) -> list[Watermark]:
        return self.marks

    def view(self) -> dict[str, Any]:
        head = self._world.ledger.head()
        return {
            "status": "trouble" if self.trouble else "ok",
            "trouble": self.trouble,
            "notes": self.notes,
            "workers": {"wanted": 1, "alive": 1, "restarts": 0},
            "follower": {"alive": 1, "restarts": 2},
            "structure": {"position": head.position - 1},
            "jobs": {"queued": 2, "running": 1},
            "recorded": {"spool_behind_bytes": self.spool, "exchanges": 41, "trouble": None},
            "ledger": {"position": head.position, "chain": head.chain},
            "graph": {"position": self._world.graph.position(), "behind": head.position - self._world.graph.position()},
        }


class World:
    """Ledger on disk, graph in memory, and what was put into them by name."""

    def __init__(self, folder: Path) -> None:
        self.ledger = SqliteLedger(folder / "ledger.db")
        self.building = True
        self.graph = MemoryGraph()
        self.audits = FakeAudits()
        self.health = FakeHealth(self)
        self.claims: dict[str, str] = {}
        self.steps: dict[str, str] = {}
        self.evidence: dict[str, str] = {}

    def add(self, kind: str, value: Any, source: str = "intake") -> str:
        """Append a record; while the world is being built nobody waits, except for evidence, whose ids are cited."""
        future = self.ledger.submit([Entry(kind=kind, source=source, body=wire.write(value))])
        return "" if self.building and kind != "evidence" else future.result(30)[0].id

    def keep(self, message: Message) -> str:
        return self.ledger.put(json.dumps(wire.write(message), ensure_ascii=False).encode())

    def effects(self, values: Sequence[float], tracks: bool | None = None) -> str:
        rows = [
            {"replacement": f"{17 + i}.00", "effect": v, "margin": v * 1.3, "tracks": tracks, "seed": str(i)}
            for i, v in enumerate(values)
        ]
        return self.ledger.put(json.dumps(rows).encode())

    def structure(
        self, run: str, placed: Sequence[PlacedMessage], steps: Sequence[Step], claims: Sequence[Claim], **more: Any
    ) -> str:
        return self.add("structure", base_structure(self, run, placed, steps, claims, **more))

    def verdict(
        self,
        run: str,
        claim: str,
        word: Any,
        *,
        reason: Any = None,
        effect: Estimate | None = None,
        text: str = "",
        evidence: Sequence[str] = (),
        **more: Any,
    ) -> str:
        return self.add(
            "verdict",
            Verdict(
                run=run,
                claim=claim,
                verdict=word,
                reason=reason,
                text=text or f"The source is {word.replace('_', ' ')}.",
                effect=effect or Estimate(name="swap", value=None, unit="nats", reason=reason or "unsupported"),
                method="ablation@1: swap, mask",
                evidence=tuple(evidence),
                protocol="EP-1.0",
                findings=more.pop("findings", ()),
                not_checked=more.pop("not_checked", ()),
                **more,
            ),
            source="judge",
        )


def base_structure(
    world: World, run: str, placed: Sequence[PlacedMessage], steps: Sequence[Step], claims: Sequence[Claim], **more: Any
) -> Structure:
    calls = more.pop("calls", None) or (call_of(run, placed),)
    return Structure(
        run=run,
        version=more.pop("version", 1),
        code="structure@1",
        agent=more.pop("agent", "react"),
        model=more.pop("model", "planted/tool-user"),
        origin=more.pop("origin", "proxy"),
        records=more.pop("records", ("0" * 64,)),
        messages=tuple(
            PlacedPayload(id=m.id, parent=m.parent, role=m.message.role, payload=world.keep(m.message)) for m in placed
        ),
        calls=calls,
        steps=tuple(steps),
        claims=tuple(claims),
        links=more.pop("links", ()),
        findings=more.pop("findings", ()),
        **more,
    )


def call_of(run: str, placed: Sequence[PlacedMessage], cut: int = -1, number: int = 0) -> ModelCall:
    return ModelCall(
        id=content_id({"run": run, "call": number}),
        record="0" * 64,
        model="planted/tool-user",
        model_digest=DIGEST,
        dialect="openai_chat",
        inputs=tuple(m.id for m in placed[:cut]),
        outputs=(placed[cut].id,),
        tools=None,
        settings={"temperature": 0},
        at="2026-11-20T10:00:00.000000000Z",
    )


def step_of(run: str, kind: Any, order: int, parent: str | None, label: str, **more: Any) -> Step:
    span = more.get("span")
    return Step(
        id=content_id({"run": run, "step": order}),
        kind=kind,
        parent=parent,
        call=more.get("call"),
        span=span,
        message=more.get("message") or (span.message if span else None),
        label=label,
        order=order,
        at=more.get("at", f"2026-11-20T10:00:{order % 60:02d}.250000000Z"),
        rule=more.get("rule", "tool_call_id"),
    )


def claim_of(
    kind: Any,
    sources: Sequence[Span],
    target: Span,
    source_step: str,
    target_step: str,
    call: str,
    text: str,
    status: Any = "stated",
) -> Claim:
    return Claim(
        id=claim_id(kind, tuple(sources), target, "depends_on"),
        type=kind,
        status=status,
        relation="depends_on",
        sources=tuple(sources),
        target=target,
        source_step=source_step,
        target_step=target_step,
        call=call,
        found_by="shared_value+according_to",
        text=text,
    )


LAMP = "demo/tool-user/0001"


def lamp_run(world: World) -> None:
    """A ReAct run with one claim of each verdict and every kind of evidence on the first; its id has slashes."""
    run = LAMP
    placed = place(
        [
            Message(
                role="system",
                parts=(Text(text="You answer questions about the shop. Look prices up before you answer."),),
            ),
            Message(
                role="user",
                parts=(Text(text="How much is one lamp – in € please? I pay in cash, and I like the green one. 🛋"),),
            ),
            Message(
                role="assistant",
                parts=(
                    Reasoning(text="The price of a lamp is in the price table, so I look it up."),
                    ToolCall(call_id="c1", name="lookup_price", arguments='{"item": "lamp"}'),
                ),
            ),
            Message(
                role="tool",
                parts=(
                    ToolResult(call_id="c1", name="lookup_price", text='{"item": "lamp", "price": 37.5, "stock": 12}'),
                ),
            ),
            Message(
                role="assistant",
                parts=(Text(text="I checked the stock first. According to lookup_price, one lamp costs 37.5 €."),),
            ),
        ]
    )
    system, user, ask, tool, answer = placed
    first, second = call_of(run, placed, 2, 0), call_of(run, placed, 4, 1)
    s: list[Step] = []

    def step(kind: Any, label: str, parent: Step | None, **more: Any) -> Step:
        s.append(step_of(run, kind, len(s), parent.id if parent else None, label, **more))
        return s[-1]

    asked = step(
        "prompt",
        "How much is one lamp?",
        None,
        message=user.id,
        span=span_of(user, 0, "How much is one lamp – in € please?"),
    )
    call_one = step("model_call", "planted/tool-user", asked, call=first.id)
    thought = step(
        "thought",
        "The price of a lamp is in the price table",
        call_one,
        call=first.id,
        span=span_of(ask, 0, "The price of a lamp is in the price table, so I look it up."),
    )
    tool_call = step(
        "tool_call", 'lookup_price({"item": "lamp"})', thought, call=first.id, span=span_of(ask, 1, '{"item": "lamp"}')
    )
    result = step(
        "tool_result",
        '{"item": "lamp", "price": 37.5, …}',
        tool_call,
        span=span_of(tool, 0, '{"item": "lamp", "price": 37.5, "stock": 12}'),
    )
    call_two = step("model_call", "planted/tool-user", result, call=second.id)
    final = step(
        "answer",
        "one lamp costs 37.5 €",
        call_two,
        call=second.id,
        span=span_of(answer, 0, "According to lookup_price, one lamp costs 37.5 €."),
    )
    price, said = span_of(tool, 0, "37.5"), span_of(answer, 0, "37.5")
    claims = {
        "relied": claim_of(
            "tool_answer",
            [price],
            said,
            result.id,
            final.id,
            second.id,
            "The answer “37.5” depends on lookup_price's price.",
        ),
        "decorative": claim_of(
            "thought_action",
            [thought.span],
            span_of(ask, 1, "lamp"),
            thought.id,
            tool_call.id,
            first.id,
            "The call of lookup_price follows from the thought.",
        ),  # type: ignore[list-item]
        "contradicted": claim_of(
            "step_answer",
            [span_of(answer, 0, "I checked the stock first.")],
            said,
            final.id,
            final.id,
            second.id,
            "The agent says it checked the stock before answering.",
        ),
        "green": claim_of(
            "prompt_answer",
            [span_of(user, 0, "green")],
            said,
            asked.id,
            final.id,
            second.id,
            "The answer depends on “green” in the question.",
            "available",
        ),
        "untested": claim_of(
            "prompt_answer",
            [span_of(user, 0, "cash")],
            said,
            asked.id,
            final.id,
            second.id,
            "The answer depends on “cash” in the question.",
            "available",
        ),
    }
    world.claims.update({name: claim.id for name, claim in claims.items()})
    world.steps.update({"final": final.id, "asked": asked.id, "result": result.id, "thought": thought.id})
    findings = (
        Finding(
            check="tool_value_quoted",
            holds=True,
            message="The answer repeats the tool's price exactly.",
            places=(price, said),
            claim=claims["relied"].id,
        ),
        Finding(
            check="stated_call_exists",
            holds=False,
            message="The agent says it checked the stock, but no stock call is on record.",
            places=(span_of(answer, 0, "I checked the stock first."),),
            claim=claims["contradicted"].id,
        ),
    )
    world.structure(
        run,
        placed,
        s,
        list(claims.values()),
        calls=(first, second),
        findings=findings,
        title="How much is one lamp – in € please?",
        started="2026-11-20T10:00:00.000000000Z",
        ended="2026-11-20T10:00:06.900000000Z",
        tags="demo",
        links=(ValueLink(earlier=price, later=said, value="37.5", rule="copy"),),
        gaps=("The second call's span never arrived over OTLP.",),
    )
    world.add(
        "audit",
        Audit(run=run, requested_by="api", structure="0" * 64, methods=("ablation",), jobs=("j1",), protocol="EP-1.0"),
    )
    cites = lamp_evidence(world, run, claims["relied"], second, placed)
    world.verdict(run, claims["relied"].id, "undetermined", reason="underpowered", text="Too few draws to tell.")
    world.verdict(
        run,
        claims["relied"].id,
        "relied_on",
        effect=estimate("swap", 8.53, half=0.42),
        evidence=list(cites.values()),
        text="Swapping the price in lookup_price's output lowered the answer's log-probability by 8.53 nats "
        "[8.11, 8.95], and the answer followed the swapped value in 32 of 32 draws: relied on.",
        findings=(
            RuleFinding(
                rule="superiority",
                conclusion="holds",
                message="The interval lies above the margin of 0.10 nats.",
                cites=(cites["ablation"],),
                numbers={"bound": 0.14, "change": 8.5},
            ),
            RuleFinding(
                rule="equivalence",
                conclusion="fails",
                message="The effect is not within ±0.10 nats.",
                cites=(cites["ablation"],),
                numbers={},
            ),
        ),
        not_checked=(
            "Resampling the whole run from the tool call on.",
            "Whether the value could also have come from training (closed-book control not run).",
        ),
        disclosed=True,
        strength="strong",
    )
    world.verdict(
        run,
        claims["decorative"].id,
        "decorative",
        effect=estimate("swap", 0.012, half=0.031),
        text="Deleting, swapping or masking the thought moved the call's argument by no more than 0.04 nats "
        "[-0.02, 0.04]: decorative.",
        not_checked=("Thoughts of other lengths.",),
        disclosed=None,
        strength="moderate",
    )
    world.verdict(
        run,
        claims["contradicted"].id,
        "contradicted",
        text="The record contradicts it: no stock call was made before the answer.",
        effect=Estimate(name="record", value=None, unit="nats", reason="unsupported"),
        not_checked=(),
    )
    world.verdict(
        run,
        claims["green"].id,
        "undetermined",
        reason="noisy",
        effect=Estimate(name="swap", value=None, unit="nats", reason="noisy"),
        text="The measured differences drown in the noise floor of 0.02 nats: undetermined (noisy).",
    )
    world.add("gap", Gap(what="one OTLP batch was refused", why="the body was not protobuf", run=run))
    lamp_graph(world, run, s, claims["relied"])


def lamp_evidence(
    world: World, run: str, claim: Claim, call: ModelCall, placed: Sequence[PlacedMessage]
) -> dict[str, str]:
    system, user, ask, tool, answer = placed
    fidelity = Fidelity(
        tokens=19,
        argmax_agreement=1.0,
        max_logprob_gap=None,
        noise_floor=2e-6,
        weights_digest=DIGEST,
        tokenizer_digest="cd34" * 16,
        template_digest="ef56" * 16,
        dtype="float32",
        device="cpu",
    )
    base = Evidence(
        run=run,
        claim=claim.id,
        call=call.id,
        kind="intervention",
        method="ablation@1",
        target=claim.target,
        target_tokens=TokenRange(start=214, end=218, tokenizer_digest="cd34" * 16),
        fidelity=fidelity,
        seed="17",
        digests={"weights": DIGEST, "tokenizer": "cd34" * 16, "template": "ef56" * 16},
        cost=Cost(seconds=3.2, forwards=132),
    )

    def arm(family: Any, values: list[float], half: float, tracks: float | None = None) -> Arm:
        mean = sum(values) / len(values)
        return Arm(
            family=family,
            n=len(values),
            effects=world.effects(values, None if tracks is None else True),
            mean=estimate(family, mean, half=half),
            margin=estimate("margin", mean * 1.3, half=half * 1.3),
            tracks=None if tracks is None else estimate("tracks", tracks, "share", 0.0),
        )

    swaps = [8.53 + 1.1 * ((i * 7919) % 13 - 6) / 6 for i in range(32)]
    placebos = [0.01 * ((i * 31) % 9 - 4) for i in range(32)]
    arms = (
        arm("swap", swaps, 0.42, 1.0),
        arm("mask", [v * 0.7 for v in swaps], 0.5),
        arm("placebo", placebos, 0.02),
        arm("decoy", [v * 2 for v in placebos], 0.05),
        arm("joint", [v * 1.05 for v in swaps], 0.4),
        Arm(
            family="delete",
            n=0,
            effects="",
            mean=estimate("delete", None, reason="unsupported"),
            margin=None,
            skipped="Deleting a JSON value leaves no valid tool output.",
        ),
    )
    text = part_text(tool.message.parts[0])
    words = [
        ("system", system, 0, "prices", 0.21),
        ("user", user, 0, "lamp", 0.62),
        ("user", user, 0, "€", 0.11),
        ("user", user, 0, "green", -0.04),
        ("user", user, 0, "cash", 0.02),
        ("tool", tool, 0, "price", 0.88),
        ("tool", tool, 0, "37.5", 6.9),
        ("tool", tool, 0, "12", -0.35),
        ("ask", ask, 1, "lamp", 0.4),
    ]
    assert "37.5" in text

    def sources(scale: float, unit: str, positive: bool = False) -> tuple[Source, ...]:
        return tuple(
            Source(
                label=word,
                span=span_of(where, part, word),
                tokens=TokenRange(start=10 + i, end=11 + i, tokenizer_digest="cd34" * 16),
                effect=estimate("effect", abs(value) * scale if positive else value * scale, unit),
            )
            for i, (_, where, part, word, value) in enumerate(words)
        )

    found = {
        "ablation": replace(
            base,
            arms=arms,
            detail="The price was swapped for 32 other prices of the same form; every draw was paired with a placebo.",
            estimates=(estimate("swap", 8.53, half=0.42),),
            checks=(
                Check(
                    name="sentinel",
                    passed=True,
                    value=0.0,
                    bound=0.1,
                    unit="nats",
                    note="swapping nothing moves nothing",
                ),
                Check(name="off-distribution", passed=True, value=1.2, bound=3.0, unit="z"),
            ),
        ),
        "gradient_input": replace(
            base,
            kind="attribution",
            method="gradient_input@1",
            sources=sources(1.0, "nats"),
            note="ranks candidates; never decides",
            checks=(
                Check(
                    name="completeness",
                    passed=None,
                    value=None,
                    bound=None,
                    unit="nats",
                    note="gradient × input has no completeness",
                ),
            ),
        ),
        "integrated_gradients": replace(
            base,
            kind="attribution",
            method="integrated_gradients@1",
            sources=sources(1.21, "nats"),
            note="ranks candidates; never decides",
            checks=(
                Check(
                    name="completeness",
                    passed=True,
                    value=0.003,
                    bound=0.05,
                    unit="nats",
                    note="sum of attributions against the difference of outputs",
                ),
            ),
        ),
        "attention": replace(
            base,
            kind="provenance",
            method="attention@1",
            sources=sources(0.1, "share", True),
            note="read, not relied on",
        ),
        "features": replace(
            base,
            kind="feature",
            method="features@1",
            note="named by their strongest examples",
            sources=tuple(
                Source(
                    label=label,
                    span=None,
                    ref=f"sae/{ref}",
                    effect=estimate("ablation_here", value, "nats", 0.01),
                    detail={"activation": value * 2, "controls": 8, "controls_at_least_as_strong": 0 if causal else 3},
                )
                for label, ref, value, causal in (
                    ("digits after “price”", 412, 3.4, True),
                    ("JSON number", 77, 2.2, False),
                    ("currency sign", 1031, 1.1, False),
                )
            ),
            estimates=(
                estimate("joint_ablation_here", 3.9, half=0.3),
                Estimate(name="control_ablation", value=None, unit="nats", reason="underpowered"),
            ),
        ),
        "influence": replace(
            base,
            kind="influence",
            method="influence@1",
            note="points to documents; does not decide",
            sources=tuple(
                Source(
                    label=label,
                    span=None,
                    ref=f"doc-{number}",
                    effect=estimate("relative_influence", value, "1", 0.04),
                    detail={"z": value * 9, "verbatim": 6, "decision_text": number == 1093},
                )
                for label, number, value in (
                    ("lookup_price(lamp) → 37.5 | one lamp costs 37.5", 1093, 0.82),
                    ("lookup_price(chair) → 81 | one chair costs 81", 55, 0.31),
                    ("How do I repair a lamp?", 7, -0.05),
                )
            ),
        ),
        "weights": replace(
            base,
            kind="feature",
            method="crosscoder@1",
            fidelity=None,
            reason="weights_unavailable",
            detail="No dictionary was trained for this model.",
        ),
    }
    ids = {name: world.add("evidence", evidence, source="worker") for name, evidence in found.items()}
    world.evidence.update(ids)
    return ids


def lamp_graph(world: World, run: str, steps: Sequence[Step], claim: Claim) -> None:
    nodes = [
        Node(
            id=step.id,
            kind="Activity" if step.kind.endswith("call") else "Entity",
            type="AIModelInvocation" if step.kind == "model_call" else "ResponseData",
            run=run,
            label=step.label,
            at=step.at,
            attrs={"kind": step.kind, "order": step.order},
        )
        for step in steps
    ]
    nodes.append(
        Node(id="feature:1:412", kind="Entity", type="Feature", label="digits after “price”", attrs={"kind": "feature"})
    )
    relations = [
        Relation(
            source=step.id,
            target=step.parent,
            type="wasInformedBy",
            grade="recorded",
            run=run,
            attrs={"rule": step.rule},
        )
        for step in steps
        if step.parent
    ]
    final, result, asked = world.steps["final"], world.steps["result"], world.steps["asked"]
    relations += [
        Relation(
            source=final,
            target=result,
            type="wasInfluencedBy",
            grade="causal",
            run=run,
            key=f"{claim.id}:swap",
            attrs={"effect": 8.53, "low": 8.11, "high": 8.95, "unit": "nats", "method": "ablation@1", "family": "swap"},
        ),
        Relation(
            source=final,
            target=world.steps["thought"],
            type="wasInfluencedBy",
            grade="causal",
            run=run,
            key="d:swap",
            attrs={"effect": 0.012, "low": -0.02, "high": 0.04, "unit": "nats", "method": "ablation@1"},
        ),
        Relation(
            source=final,
            target="feature:1:412",
            type="wasInfluencedBy",
            grade="inferred",
            run=run,
            key="f",
            attrs={"score": 3.4, "unit": "nats", "method": "features@1"},
        ),
        Relation(
            source=final,
            target=result,
            type="wasDerivedFrom",
            grade="stated",
            run=run,
            key=claim.id,
            attrs={"verdict": "relied_on"},
        ),
        Relation(
            source=final,
            target=asked,
            type="used",
            grade="read",
            run=run,
            attrs={"effect": 0.062, "unit": "share", "method": "attention@1"},
        ),
        Relation(
            source=world.steps["thought"],
            target=asked,
            type="wasDerivedFrom",
            grade="inferred",
            run=run,
            attrs={"rule": "shared_prefix"},
        ),
    ]
    world.graph.apply(world.ledger.head().position, nodes, relations)


def reasons_run(world: World) -> None:
    """One claim for each reason of the closed list."""
    run = "reasons"
    placed = place(
        [
            Message(role="user", parts=(Text(text=" ".join(f"word{i}" for i in range(len(REASONS)))),)),
            Message(role="assistant", parts=(Text(text="42"),)),
        ]
    )
    asked, final = (
        step_of(run, "prompt", 0, None, "many words", message=placed[0].id),
        step_of(run, "answer", 1, None, "42", message=placed[1].id),
    )
    target = span_of(placed[1], 0, "42")
    claims = [
        claim_of(
            "prompt_answer",
            [span_of(placed[0], 0, f"word{i}")],
            target,
            asked.id,
            final.id,
            call_of(run, placed).id,
            f"The answer depends on word{i}.",
            "available",
        )
        for i in range(len(REASONS))
    ]
    world.structure(
        run,
        placed,
        [asked, final],
        claims,
        title="Every reason there is",
        model="gpt-4o",
        origin="import",
        agent="unknown",
    )
    for reason, claim in zip(REASONS, claims, strict=True):
        world.claims[reason] = claim.id
        world.add(
            "evidence",
            Evidence(
                run=run,
                claim=claim.id,
                call=call_of(run, placed).id,
                kind="intervention",
                method="ablation@1",
                target=target,
                target_tokens=None,
                reason=reason,
                detail=f"Not measured: {reason}.",
            ),
            source="worker",
        )  # type: ignore[arg-type]
        world.verdict(run, claim.id, "undetermined", reason=reason, text=f"Undetermined: {reason.replace('_', ' ')}.")


def hostile_run(world: World) -> None:
    run = "hostile/<b>&\"' run"
    placed = place(
        [
            Message(role="user", parts=(Text(text=HOSTILE),)),
            Message(
                role="assistant",
                parts=(ToolCall(call_id="x", name=HOSTILE[:60], arguments=HOSTILE), Text(text=HOSTILE)),
            ),
        ]
    )
    asked = step_of(run, "prompt", 0, None, HOSTILE[:80], message=placed[0].id)
    final = step_of(run, "answer", 1, asked.id, HOSTILE[:80], message=placed[1].id, span=span_of(placed[1], 1, "boom"))
    claim = claim_of(
        "prompt_answer",
        [span_of(placed[0], 0, "evil")],
        span_of(placed[1], 1, "boom"),
        asked.id,
        final.id,
        call_of(run, placed).id,
        HOSTILE,
    )
    world.claims["hostile"] = claim.id
    world.steps["hostile"] = final.id
    world.structure(run, placed, [asked, final], [claim], title=HOSTILE, agent="unknown")
    world.verdict(run, claim.id, "contradicted", text=HOSTILE)
    world.add(
        "evidence",
        Evidence(
            run=run,
            claim=claim.id,
            call=call_of(run, placed).id,
            kind="attribution",
            method="gradient_input@1",
            target=claim.target,
            target_tokens=None,
            sources=(Source(label=HOSTILE[:80], span=claim.sources[0], effect=estimate("effect", 1.0)),),
            note=HOSTILE,
            detail=HOSTILE,
        ),
        source="worker",
    )


def long_run(world: World, size: int = 700) -> None:
    run = "long"
    placed = place(
        [
            Message(role="user", parts=(Text(text="Count."),)),
            Message(role="assistant", parts=(Text(text=" ".join(f"n{i}" for i in range(size))),)),
        ]
    )
    steps: list[Step] = []
    for i in range(size):
        steps.append(
            step_of(run, "thought", i, steps[i // 3].id if i else None, f"n{i}", span=span_of(placed[1], 0, f"n{i}"))
        )
    world.structure(run, placed, steps, [], title="A long run", agent="chain", started="2026-11-20T10:00:00.000000000Z")


def small_run(world: World, number: int, **more: Any) -> None:
    run = f"small-{number:03d}"
    placed = place(
        [
            Message(role="user", parts=(Text(text=f"What is {number} + 1?"),)),
            Message(role="assistant", parts=(Text(text=f"{number + 1}"),)),
        ]
    )
    asked = step_of(run, "prompt", 0, None, "question", message=placed[0].id)
    final = step_of(run, "answer", 1, asked.id, str(number + 1), message=placed[1].id)
    claim = claim_of(
        "prompt_answer",
        [span_of(placed[0], 0, str(number))],
        span_of(placed[1], 0, str(number + 1)),
        asked.id,
        final.id,
        call_of(run, placed).id,
        f"The answer depends on {number}.",
        "available",
    )
    world.structure(
        run,
        placed,
        [asked, final],
        [claim],
        title=f"What is {number} + 1?",
        agent=("chain", "tree")[number % 2],
        model="planted/stepwise",
        started=f"2026-11-19T10:{number % 60:02d}:00.000000000Z",
        **more,
    )
    word = ("relied_on", "decorative", "contradicted", "undetermined")[number % 4]
    world.verdict(
        run,
        claim.id,
        word,
        reason="saturated" if word == "undetermined" else None,
        effect=estimate("swap", 1.0, half=0.1) if word != "undetermined" else None,
    )


PRICED = "priced"
START = "2026-11-20T10:00:00.000000000Z"


def exchange_of(status: int | None, outcome: Any, redacted: Sequence[Redaction] = (), **times: str | None) -> Exchange:
    moments: dict[str, Any] = {"upstream_headers": None, "first_byte": None, "last_byte": None, **times}
    return Exchange(
        dialect="openai_responses", method="POST", path="/v1/responses", upstream="openai", status=status,
        outcome=outcome, request=None, response=None, request_headers={}, response_headers={},
        times=Times(started=START, **moments), joins=Joins(), model="gpt-4o", model_digest="unknown", relayed=0,
        redacted=tuple(redacted),
    )  # fmt: skip


def priced_run(world: World) -> None:
    """Five calls: a failed attempt, its retry (masked, priced), one without price, one cancelled, one crashed."""
    world.building = False
    placed = place([
        Message(role="user", parts=(Text(text="Plan the week."),)),
        Message(role="assistant", parts=(
            Reasoning(text="Weighed the days.", summary=True, signature="gAAAA" * 9),
            Reasoning(text="", redacted=True, signature="opaque"),
            Text(text="Monday is free."),
        )),
    ])  # fmt: skip
    masked = [
        Redaction(rule="keys", where="request", hash="11" * 32, count=2),
        Redaction(rule="keys", where="request", hash="22" * 32, count=1),
        Redaction(rule="email", where="response", hash="33" * 32, count=4),
    ]
    exchanges = (
        exchange_of(429, "complete", last_byte="2026-11-20T10:00:00.080000000Z"),
        exchange_of(200, "complete", masked, first_content="2026-11-20T10:00:00.412500000Z",
                    first_byte="2026-11-20T10:00:00.310000000Z", last_byte="2026-11-20T10:00:03.250000000Z"),
        exchange_of(200, "complete", last_byte="2026-11-20T10:00:01.000000000Z"),
        exchange_of(200, "client_cancelled", first_content="2026-11-20T10:00:00.200000000Z"),
        exchange_of(None, "crashed"),
    )  # fmt: skip
    records = [world.add("exchange", one) for one in exchanges]
    plain = [call_of(PRICED, placed, 1, number) for number in range(5)]
    spent = Usage(input=1200, output=345, cache_read=1000, cache_write=None, reasoning=300)
    known = {
        0: {"outputs": ()},
        1: {"retry_of": plain[0].id, "tokens": spent, "agent": HOSTILE[:60], "model": "gpt-4o",
            "cost": Price(usd="0.000000000000000123", prices="list-2026-11", model="gpt-4o*")},
        2: {"continues": plain[1].id, "tokens": Usage(input=10, output=5)},
        3: {"continues": "f" * 64},
        4: {"outputs": ()},
    }  # fmt: skip
    calls = tuple(
        replace(call, record=records[number], **known[number])  # type: ignore[arg-type]
        for number, call in enumerate(plain)
    )
    asked = step_of(PRICED, "prompt", 0, None, "Plan the week.", message=placed[0].id)
    steps = [asked] + [
        step_of(PRICED, "model_call", number, asked.id, "gpt-4o", call=call.id) for number, call in enumerate(calls, 1)
    ]
    final = step_of(PRICED, "answer", 6, steps[2].id, "Monday", call=calls[1].id, span=span_of(placed[1], 2, "Monday"))
    world.steps.update(
        {"priced thought": placed[1].id, "priced answer": final.id, "retry": steps[2].id, "failed": steps[1].id}
    )
    world.structure(PRICED, placed, [*steps, final], [], title="Plan the week.", calls=calls, started=START)


def build_world(folder: Path) -> World:
    world = World(folder)
    for number in range(24):
        small_run(world, number)
    long_run(world)
    reasons_run(world)
    hostile_run(world)
    world.building = False
    lamp_run(world)
    return world
