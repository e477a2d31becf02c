"""Who may import whom (the table of docs/decisions.md), read from the sources, not from running them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "safetensors", "tokenizers"}
COMPOSITION_ROOTS = {
    "auditor.app", "auditor.work", "auditor.follow", "auditor.cli", "auditor.__main__", "auditor.structurer",
    "auditor.audits", "auditor.access_commands", "auditor.watermarks", "auditor.rollout",
    "auditor.demo", "auditor.demo.phases", "auditor.demo.processes", "auditor.demo.report", "auditor.demo.screen",
}  # fmt: skip

EVERYONE = {"auditor", "auditor.errors", "auditor.records"}
"""The bottom floor: the words and the error tree."""

MAY_IMPORT = {
    "auditor.records": set(),
    "auditor.errors": set(),
    "auditor.settings": set(),
    "auditor.spill": set(),
    "auditor.models": set(),
    "auditor.statistics": set(),
    "auditor.access": {"auditor.ledger.protocol"},
    "auditor.capture": {"auditor.models", "auditor.ledger.protocol", "auditor.access"},
    "auditor.ledger": set(),
    "auditor.structure": set(),
    "auditor.projection": {"auditor.ledger", "graph"},
    "auditor.evidence": {"auditor.structure", "auditor.statistics", "auditor.models"},
    "auditor.verdict": {"auditor.structure", "auditor.statistics"},
    "auditor.jobs": {
        "auditor.structure", "auditor.statistics", "auditor.models", "auditor.ledger",
        "auditor.evidence.protocol", "auditor.evidence.catalogue",
    },
    "auditor.views": {
        "auditor.access",
        "auditor.ledger", "auditor.evidence.protocol", "auditor.evidence.catalogue", "auditor.evidence.specs",
        "auditor.verdict.protocol", "graph",
    },
    "graph": set(),
    "agents": {"agents.planted"},
    "agents.planted": {"agents"},
}  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("auditor", "agents", "graph"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute names a file imports, and whether at module level."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports"
            # the full name: `from auditor.evidence import catalogue` reaches for the catalogue, not for the room
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in top


def room_of(module: str) -> str:
    candidates = [room for room in MAY_IMPORT if module == room or module.startswith(room + ".")]
    return max(candidates, key=len, default=module)


def allowed(module: str, room: str, name: str) -> bool:
    if name.split(".")[0] not in {"auditor", "agents", "graph"}:
        return True
    if room_of(name) == room or name == room.split(".")[0]:
        return True
    if room.startswith("auditor") and any(name == one or name.startswith(one + ".") for one in EVERYONE - {"auditor"}):
        return True
    return any(name == one or name.startswith(one + ".") for one in MAY_IMPORT[room])


@pytest.mark.parametrize(("module", "path"), [pytest.param(m, p, id=m) for m, p in modules()])
def test_a_room_imports_only_what_the_design_allows(module: str, path: Path) -> None:
    if module in COMPOSITION_ROOTS or module == "auditor":
        return
    room = room_of(module)
    assert room in MAY_IMPORT, f"{module} belongs to no room of the design"
    broken = sorted({name for name, _ in imports(path) if not allowed(module, room, name)})
    assert not broken, f"{module} may not import {broken}"


def test_nothing_imports_a_composition_root() -> None:
    guilty = [
        module
        for module, path in modules()
        if module not in COMPOSITION_ROOTS
        for name, _ in imports(path)
        if name in COMPOSITION_ROOTS
    ]
    assert guilty == []


def test_only_evidence_and_planted_import_torch() -> None:
    guilty = [
        (module, name)
        for module, path in modules()
        for name, _ in imports(path)
        if name.split(".")[0] in HEAVY and room_of(module) not in {"auditor.evidence", "agents.planted"}
    ]
    assert guilty == []


def test_graph_uses_standard_library_networkx_and_drivers_in_stores_only() -> None:
    permitted = set(sys.stdlib_module_names) | {"graph", "networkx"}
    guilty = [
        (module, name)
        for module, path in modules()
        if module.split(".")[0] == "graph"
        for name, _ in imports(path)
        if name.split(".")[0] not in permitted
        and not (module == "graph.neo4j_store" and name.split(".")[0] == "neo4j")
    ]
    assert guilty == []
