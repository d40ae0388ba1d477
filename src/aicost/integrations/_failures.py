"""What an exception of an HTTP library says of the request: did it reach the provider, may it be billed."""

from __future__ import annotations

from aicost.usage.event import Chargeable

# What never reached the provider's model, by the names the HTTP libraries give it: httpx and httpx2, aiohttp, urllib3
# (below requests), botocore.
_NOT_SENT = {
    "ClientConnectorError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorSSLError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectTimeoutError",
    "ConnectionRefusedError",
    "ConnectionTimeoutError",
    "EndpointConnectionError",
    "InvalidURL",
    "LocalProtocolError",
    "NameResolutionError",
    "NewConnectionError",
    "NoCredentialsError",
    "PoolTimeout",
    "ProxyConnectionError",
    "ProxyError",
    "SSLError",
    "UnsupportedProtocol",
    "WriteError",
    "WriteTimeout",
    "gaierror",
}
MAYBE_CHARGEABLE_STATUS = {408, 499, 504, 524}
"""A gateway that gave up on the model says nothing of what the model went on to do."""

_TRANSPORTS = ("httpcore", "urllib3", "socket", "ssl", "asyncio", "builtins", "aiohttp.http")


def chargeable_after(error: BaseException | None) -> Chargeable:
    """Whether an attempt that failed with `error`, and no response, may have been billed."""
    return Chargeable.NO if type(error).__name__ in _NOT_SENT else Chargeable.POSSIBLY


def cause_of(error: BaseException) -> BaseException:
    """The HTTP library's own error below the client's."""
    seen = 0
    while error.__cause__ is not None and seen < 10:
        if type(error.__cause__).__module__.startswith(_TRANSPORTS):
            break
        error, seen = error.__cause__, seen + 1
    # requests says `ConnectionError` whether it connected or not; urllib3's reason below it says which.
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return reason if isinstance(reason, BaseException) else error


def was_timeout(error: BaseException) -> bool:
    """Whether a call failed because something took too long."""
    return "Timeout" in type(error).__name__ or "Timeout" in type(cause_of(error)).__name__


def status_of(error: BaseException) -> int | None:
    """The HTTP status in a client's exception, under the names the clients give it."""
    for name in ("status_code", "http_status", "code", "status"):
        status = getattr(error, name, None)
        if isinstance(status, int) and not isinstance(status, bool) and 100 <= status < 600:
            return status
    return None


def chargeable_unseen(error: BaseException) -> tuple[str, Chargeable]:
    """Error type, and whether a call may be billed whose request nobody saw leave, by its error alone."""
    status, cause = status_of(error), cause_of(error)
    if status is not None:
        return str(status), Chargeable.POSSIBLY if status in MAYBE_CHARGEABLE_STATUS else Chargeable.NO
    named = f"{type(error).__name__} {type(cause).__name__}"
    on_the_way = any(word in named for word in ("Timeout", "Connection", "Network", "Read", "Protocol", "Cancelled"))
    return type(cause).__name__, chargeable_after(cause) if on_the_way else Chargeable.NO
