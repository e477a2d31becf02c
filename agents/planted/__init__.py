"""Tiny language models whose reasoning is known to be faithful or not: corpora, trainer, measured truth.

`families`, `prompts`, `words` and `corpus` need no torch; `tokenizer`, `train`, `transcripts` and `truth` do.
"""
