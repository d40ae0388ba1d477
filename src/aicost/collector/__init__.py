"""The collector: OTLP in, priced, OTLP out."""
