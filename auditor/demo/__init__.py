"""`auditor demo`: real agents on planted models, recorded, audited and judged, then compared with the planted truth."""
