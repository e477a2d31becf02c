"""Recorded calls and spans -> runs, steps, claims, value links, record checks. Pure functions, no torch."""
