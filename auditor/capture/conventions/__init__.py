"""Span conventions: OpenTelemetry spans -> what an agent did. One file per convention, one table (catalogue)."""

from auditor.capture.conventions.catalogue import observe

__all__ = ["observe"]
