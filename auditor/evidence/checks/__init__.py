"""Tests of the evidence itself, one file each."""
