"""Errors in each provider's shape."""

from __future__ import annotations

from typing import Any

_KINDS = {429: "rate_limit_error", 400: "invalid_request_error", 404: "not_found_error"}
_GOOGLE = {429: "RESOURCE_EXHAUSTED", 400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 503: "UNAVAILABLE"}


def error_body(provider: str, status: int, message: str) -> dict[str, Any]:
    """The body of an error response."""
    kind = _KINDS.get(status, "api_error")
    if provider == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0"}
    if provider.startswith("gcp."):
        return {"error": {"code": status, "message": message, "status": _GOOGLE.get(status, "INTERNAL")}}
    if provider in {"cohere", "aws.bedrock"}:
        return {"message": message}
    if provider == "ollama":
        return {"error": message}
    if provider == "voyage":
        return {"detail": message}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
