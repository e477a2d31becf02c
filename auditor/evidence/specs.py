"""Specs of all methods, torch-free. One entry per method; a method's class refers to its entry here."""

from auditor.evidence.protocol import MethodSpec

SPECS: dict[str, MethodSpec] = {}
