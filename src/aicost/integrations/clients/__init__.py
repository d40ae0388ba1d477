"""Clients of model providers."""
