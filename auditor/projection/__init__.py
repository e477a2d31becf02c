"""Ledger records → provenance graph: a pure mapping, and the follower that applies it."""
