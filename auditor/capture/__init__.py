"""The proxy, its wire dialects and the OTLP intake."""
