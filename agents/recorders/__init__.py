"""What the wire cannot show, said in OpenTelemetry spans and nothing else."""
