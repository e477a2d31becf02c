"""One file per method; the table is auditor.evidence.catalogue."""
