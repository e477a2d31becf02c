"""Audit server: records what agents do and tests what they say against what moved them."""
