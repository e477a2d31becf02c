"""Recorded calls, spans and transcripts → runs, steps, claims, value links and record checks. Pure; no torch."""
