"""Rate cards and the pure function that applies them."""
