"""Rules, one per file: each says what counts, what never does, and what it cannot see.

A rule is `conclude(case, bench)`: it `holds`, `fails` or `cannot_tell`, or says nothing where it does not apply.
"""
