"""From what a provider reports to disjoint quantities: meters, the usage event, and a file per provider."""
