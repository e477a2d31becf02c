"""Exact checks of the record against itself, one file each; catalogue.py lists them."""
