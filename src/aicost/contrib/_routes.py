"""The template of the route that a request will take: `/items/{id}`, not the path with an id in it.

The frameworks say it only once they have routed, which is after the run of the request has begun. So their routers are
asked beforehand, as OpenTelemetry's instrumentation of FastAPI does. Read in Starlette 1.10, FastAPI 0.165 and
Werkzeug 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_FULL = 2  # of starlette.routing.Match
_MAX_DEPTH = 20


def asgi_route(app: Any, scope: Any) -> str | None:
    """The template by Starlette's or FastAPI's router; None for other frameworks, and where nothing fits."""
    routed = _below(scope.get("app") or app, "routes")
    return None if routed is None else _template(routed, dict(scope))


def wsgi_route(app: Any, environ: Any) -> str | None:
    """The template by Werkzeug's router, which Flask has; None for other frameworks, and where nothing fits."""
    url_map = _below(app, "url_map")
    if url_map is None:
        return None
    try:
        return str(url_map.bind_to_environ(environ).match(return_rule=True)[0].rule)
    except Exception:  # noqa: BLE001 - it raises for a path that is not there, a redirect, and a method that is not taken
        return None


def _template(routes: Iterable[Any], scope: Any) -> str | None:
    for route in routes:
        included = getattr(route, "effective_candidates", None)  # FastAPI's view of an included router
        if included is not None:
            if (found := _template(included(), scope)) is not None:
                return found
            continue
        match, child = route.matches(dict(scope))
        if match.value != _FULL:
            continue
        seen = getattr(route, "starlette_route", None) or route
        path = getattr(seen, "path_format", None)
        inner = getattr(child.get("endpoint"), "routes", None)
        if inner is not None:  # an application that is mounted
            prefix = getattr(seen, "path", "")
            return prefix + (_template(inner, {**scope, **child}) or "")
        return path if isinstance(path, str) else None
    return None


def _below(app: Any, attribute: str) -> Any:
    """What the first of the applications that wrap each other has under this name."""
    for _ in range(_MAX_DEPTH):
        app = getattr(app, "__self__", app)  # `flask_app.wsgi_app` is a method of it
        found = getattr(app, attribute, None)
        if found is not None:
            return found
        app = getattr(app, "app", None) or getattr(app, "wsgi_app", None)
        if app is None:
            return None
    return None
