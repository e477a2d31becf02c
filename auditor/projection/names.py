"""Ids of graph nodes, made from ledger ids alone, so that a rebuild gives the same graph.

A step's node has the step's own id. Everything that belongs to a run carries the run's key in its id, because two
runs that said the same words have claims and messages of the same id.
"""

from auditor.records.canonical import sha256_hex

_LONGEST = 200


def run_key(project: str, run: str) -> str:
    """What `Node.run` says: the run's id, behind its project's name unless that is `default`."""
    key = run if project == "default" else f"{project}/{run}"
    return key if len(key) <= _LONGEST else f"{key[:100]}~{sha256_hex(key.encode())}"


def run_node(key: str) -> str:
    return f"run:{key}"


def claim_node(key: str, claim: str) -> str:
    return f"claim:{key}:{claim}"


def record_node(kind: str, record_id: str) -> str:
    """Node of a ledger record: `evidence:<id>`, `verdict:<id>`, `gap:<id>`, `audit:<id>`, `exchange:<id>`…"""
    return f"{kind}:{record_id}"


def model_node(name: str, digest: str) -> str:
    return f"model:{name[:_LONGEST]}:{digest}"


def feature_node(model: str, ref: str) -> str:
    return f"feature:{model[:_LONGEST]}:{ref[:_LONGEST]}"


def training_node(model: str, ref: str) -> str:
    return f"training:{model[:_LONGEST]}:{ref[:_LONGEST]}"


def span_node(project: str, trace_id: str, span_id: str) -> str:
    return f"span:{project}:{trace_id}:{span_id}"
