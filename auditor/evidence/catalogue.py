"""The table of methods: name -> where it lives. Listing loads nothing heavy; duplicates are refused."""

from collections.abc import Iterator
from importlib import import_module

from auditor.errors import BadSetup, NotFound
from auditor.evidence.protocol import Method, MethodSpec

METHODS: dict[str, str] = {
    "record_checks": "auditor.evidence.methods.record_checks:RecordChecks",
    "fidelity": "auditor.evidence.methods.fidelity:ReplayFidelity",
    "selector": "auditor.evidence.methods.selector:Selector",
    "ablation": "auditor.evidence.methods.ablation:Ablation",
    "gradient_input": "auditor.evidence.methods.gradient_input:GradientInput",
    "integrated_gradients": "auditor.evidence.methods.integrated_gradients:IntegratedGradients",
    "attention": "auditor.evidence.methods.attention:Attention",
    "features": "auditor.evidence.methods.features:Features",
    "influence": "auditor.evidence.methods.influence:Influence",
}


def load(name: str) -> Method:
    """The method called `name`; NotFound lists the names that exist."""
    place = METHODS.get(name)
    if place is None:
        raise NotFound("method", f"no method is called {name!r}", f"use one of {', '.join(sorted(METHODS))}")
    module, _, attribute = place.partition(":")
    method: Method = getattr(import_module(module), attribute)()
    if method.spec.name != name:
        raise BadSetup("method", f"{place} calls itself {method.spec.name!r}", f"name it {name!r}")
    return method


def specs() -> Iterator[MethodSpec]:
    """What is known of every method; spec constants live in evidence.specs so that this loads no torch."""
    table = import_module("auditor.evidence.specs")

    yield from table.SPECS.values()
