"""Intervals, tests, power, multiplicity; pure."""
