"""What headers say of an attempt besides its usage: by whose account and key, under which ids, and from which cache.

Read in openai 3.57 and anthropic 2.13 (`_base_client.py`, `_exceptions.py`: `x-request-id`, `request-id`), botocore
1.44 (`x-amzn-requestid`), litellm 1.106 (`proxy/common_request_processing.py`: `x-litellm-cache-key` is empty unless
its cache answered), and the documentation of Portkey, Cloudflare's AI Gateway, Helicone, OpenRouter and Kong.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from aicost._wellformed import wellformed
from aicost.scopes.ids import credential_digest

_CACHE, _CACHE_KEY, _KEY = "cache", "cache_key", "key"


def _either(table: Mapping[str, str]) -> dict[str | bytes, str]:
    """By names as text and as bytes: httpx keeps its headers as bytes, and looking one up costs as much as all."""
    return {key: what for name, what in table.items() for key in (name, name.encode())}


_BOTH = {
    "openai-organization": "organization",
    "anthropic-organization-id": "organization",
    "openai-project": "project",
}
_REQUEST = _either(
    {**_BOTH, "x-goog-user-project": "project"}
    | dict.fromkeys(("authorization", "x-api-key", "api-key", "x-goog-api-key"), _KEY)
)
"""By header of a request: the field of an `Origin`, or that it is a key."""
_RESPONSE = _either(
    {
        **_BOTH,
        "x-request-id": "request_id",
        "request-id": "request_id",
        "apim-request-id": "request_id",
        "x-amzn-requestid": "request_id",
        "x-litellm-call-id": "gateway_call_id",
        "x-portkey-trace-id": "gateway_call_id",
        "helicone-id": "gateway_call_id",
        "cf-aig-log-id": "gateway_call_id",
        "x-litellm-cache-key": _CACHE_KEY,
    }
    # Gateways whose own cache says `HIT` (or `SEMANTIC HIT`); `x-cache-status` is Kong's.
    | dict.fromkeys(
        (
            "cf-aig-cache-status",
            "helicone-cache",
            "x-cache-status",
            "x-openrouter-cache-status",
            "x-portkey-cache-status",
        ),
        _CACHE,
    )
)
_HIT = {"HIT", "SEMANTIC HIT"}
_SHORT_LIVED = ("ya29.", "eyJ")
"""How access tokens begin that are new every hour, and so are nobody's key."""
_LONGEST = 200


def request_origin(headers: Any) -> dict[str, str]:
    """What a request's headers say: the fields of an `Origin`, the key as a digest."""
    found: dict[str, str] = {}
    if headers is None:  # aiohttp's, where the session has them all
        return found
    for name, value in getattr(headers, "raw", None) or headers.items():
        what = _REQUEST.get(name.lower())
        if what is None:
            continue
        if what is not _KEY:
            found.setdefault(what, _text(value))
        elif (digest := _digest(_text(value, 4096))) is not None:
            found["credential"] = digest
    return found


def response_origin(response: Any) -> tuple[dict[str, str], bool]:
    """What a response's headers say, and whether a cache answered and no model was asked."""
    found: dict[str, str] = {}
    cached = _is_from_cache(response)
    headers = response.headers
    for name, value in getattr(headers, "raw", None) or headers.items():
        what = _RESPONSE.get(name.lower())
        if what is None:
            continue
        if what is _CACHE:
            cached = cached or _text(value).strip().upper() in _HIT
        elif what is _CACHE_KEY:
            cached = cached or _text(value).strip().lower() not in {"", "none"}
        else:
            found.setdefault(what, _text(value))
    return found, cached


def _is_from_cache(response: Any) -> bool:
    """Whether a cache in the process says it answered: requests-cache 1.2; hishel before 1.0, and since."""
    if getattr(response, "from_cache", False) is True:
        return True
    extensions = getattr(response, "extensions", None)
    return isinstance(extensions, dict) and (
        extensions.get("from_cache") is True or extensions.get("hishel_from_cache") is True
    )


def _text(value: Any, longest: int = _LONGEST) -> str:
    # aiohttp 3.14 decodes headers with surrogates for what is no UTF-8 (`_http_parser.pyx`).
    return wellformed((value.decode("latin-1") if isinstance(value, bytes) else str(value))[:longest])


@lru_cache(maxsize=256)
def _digest(value: str) -> str | None:
    kind, _, secret = value.rpartition(" ")
    if value.startswith("AWS4-"):  # a signature, which names the key it was made with
        secret = value.partition("Credential=")[2].partition("/")[0]
    elif kind.lower() not in {"", "bearer"}:
        return None
    return credential_digest(secret) if secret and not secret.startswith(_SHORT_LIVED) else None
