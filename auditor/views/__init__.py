"""Audit API and dashboard; reads, and hands commands to protocols it is given."""
