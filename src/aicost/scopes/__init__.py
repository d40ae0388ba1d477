"""Who owns the work: attribution, runs and steps, carried by the OpenTelemetry context."""
