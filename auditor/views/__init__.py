"""Audit API and dashboard: reads what is recorded, hands commands to protocols it is given."""
