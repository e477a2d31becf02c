"""Provenance graph: vocabulary, stores and lineage queries."""
