"""Plan, durable queue and workers; runs handlers it is given."""
