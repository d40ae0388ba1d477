"""From what a provider reports to disjoint quantities: meters, the usage event, and a reader per API."""
