"""Tables and explanations made from a ledger."""
