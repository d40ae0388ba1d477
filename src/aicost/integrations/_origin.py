"""What headers say of an attempt besides its usage: by whose account and key, under which ids, and from which cache.

Read in openai 3.57 and anthropic 2.13 (`_base_client.py`, `_exceptions.py`: `x-request-id`, `request-id`), botocore
1.44 (`x-amzn-requestid`), litellm 1.106 (`proxy/common_request_processing.py`: `x-litellm-cache-key` is empty unless
its cache answered), and the documentation of Portkey, Cloudflare's AI Gateway, Helicone, OpenRouter and Kong.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from aicost.scopes.ids import credential_digest

_FIELDS = {
    "openai-organization": "organization",
    "anthropic-organization-id": "organization",
    "openai-project": "project",
    "x-goog-user-project": "project",
    "x-request-id": "request_id",
    "request-id": "request_id",
    "apim-request-id": "request_id",
    "x-amzn-requestid": "request_id",
    "x-litellm-call-id": "gateway_call_id",
    "x-portkey-trace-id": "gateway_call_id",
    "helicone-id": "gateway_call_id",
    "cf-aig-log-id": "gateway_call_id",
}
"""By header, of a request or a response: the field of an `Origin`."""

_CACHES = {
    "cf-aig-cache-status",
    "helicone-cache",
    "x-cache-status",  # Kong's AI semantic cache
    "x-openrouter-cache-status",
    "x-portkey-cache-status",
}
"""Headers of gateways that say `HIT` (`SEMANTIC HIT`) where their own cache answered."""

_KEYS = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}
_SHORT_LIVED = ("ya29.", "eyJ")
"""How access tokens begin that are new every hour, and so are nobody's key."""
_LONGEST = 200


def said_in_request(headers: Any) -> dict[str, str]:
    """What a request's headers say: the fields of an `Origin`, the key as a digest."""
    found: dict[str, str] = {}
    for name, value in _pairs(headers):
        if name in _KEYS:
            digest = _digest(value)
            if digest is not None:
                found["credential"] = digest
        elif name in _FIELDS and name != "x-request-id":  # a client's own would not be the provider's
            found[_FIELDS[name]] = value[:_LONGEST]
    return found


def said_in_response(response: Any) -> tuple[dict[str, str], bool]:
    """What a response's headers say, and whether a cache answered and no model was asked."""
    found: dict[str, str] = {}
    # requests-cache; hishel before 1.0, and since.
    extensions = getattr(response, "extensions", None) or {}
    cached = getattr(response, "from_cache", False) is True or (
        isinstance(extensions, dict)
        and (extensions.get("from_cache") is True or extensions.get("hishel_from_cache") is True)
    )
    for name, value in _pairs(response.headers):
        field = _FIELDS.get(name)
        if field is not None:
            found[field] = value[:_LONGEST]
        elif name in _CACHES:
            cached = cached or "HIT" in value.upper().split()
        elif name == "x-litellm-cache-key":
            cached = cached or bool(value)
    return found, cached


def _pairs(headers: Any) -> Iterable[tuple[str, str]]:
    """Names in lower case and values, of any library's headers. One look-up in httpx's costs as much."""
    raw = getattr(headers, "raw", None)
    for name, value in raw if raw is not None else headers.items():
        key = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        yield key.lower(), value.decode("latin-1") if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=256)
def _digest(value: str) -> str | None:
    kind, _, secret = value.rpartition(" ")
    if kind.startswith("AWS4-"):  # a signature, which names the key it was made with
        secret = value.partition("Credential=")[2].partition("/")[0]
    return credential_digest(secret) if secret and not secret.startswith(_SHORT_LIVED) else None
