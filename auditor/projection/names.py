"""Ids of graph nodes, made from ledger ids alone, so that a rebuild gives the same graph.

A step's node has the step's own id. Everything that belongs to a run carries the run's key in its id, because two
runs that said the same words have claims and messages of the same id.

Clients choose run ids, so a key must say for certain whose run it is: no two pairs of project and run share one (save
where SHA-256 collides), and `project_key` reads the project back.
"""

import re

from auditor.records.canonical import sha256_hex

_LONGEST = 200
_LONGEST_PROJECT = 64
_DEFAULT = "default"
_SHORTENED = re.compile(r".{100}~[0-9a-f]{64}", re.DOTALL)


def run_key(project: str, run: str) -> str:
    """What `Node.run` says: `<project>/<run>`, or the run's id alone in the project `default`.

    In a run's id that stands alone `/` and `%` are percent-escaped (RFC 3986, section 2.1), so that it never looks
    like another project's. Keys longer than 200 characters end in the hash of the whole.
    """
    key = _escaped(run) if project == _DEFAULT else f"{project_key(project)}/{run}"
    # A client may also name a run like a shortened key: then it is shortened itself.
    return _shortened(key, 100) if len(key) > _LONGEST or _SHORTENED.fullmatch(key) else key


def project_key(project: str) -> str:
    """How a project stands in run keys; short enough to outlive their shortening."""
    name = _escaped(project)
    return name if len(name) <= _LONGEST_PROJECT else _shortened(name, 20)


def owner(key: str) -> str:
    """The `project_key` of the project whose run has this key."""
    project, slash, _ = key.partition("/")
    return project if slash else _DEFAULT


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")


def _shortened(text: str, kept: int) -> str:
    return f"{text[:kept]}~{sha256_hex(text.encode())}"


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
