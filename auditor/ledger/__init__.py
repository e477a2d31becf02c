"""Append-only store: records, content-addressed payloads, hash chain, verification."""
