"""Rules: evidence -> finding -> verdict. Reads ledger records only."""
