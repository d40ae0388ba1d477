"""Attribute and metric names, generated from the registry in `semconv/`."""
