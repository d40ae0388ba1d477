"""Fixtures of the ledger's tests."""

from __future__ import annotations

from .stores import where

__all__ = ["where"]
