"""The providers' wire formats, one file each. A format is a list of routes; `ROUTES` is all of them."""

from __future__ import annotations

from . import anthropic, bedrock, cohere, google, huggingface, ollama, openai, voyage
from .route import EmulatedRequest, Event, Generated, Route

ROUTES: tuple[Route, ...] = (
    *openai.ROUTES,
    *anthropic.ROUTES,
    *google.ROUTES,
    *bedrock.ROUTES,
    *cohere.ROUTES,
    *huggingface.ROUTES,
    *ollama.ROUTES,
    *voyage.ROUTES,
)

__all__ = ["ROUTES", "Event", "Generated", "EmulatedRequest", "Route"]
