"""elasticsearch and opensearch: kNN searches. Read in elastic-transport 8.15 and 9.4, opensearch-py 2.8 and 3.2.

Every request of a client goes through its transport's `perform_request`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, store, width

_SEARCH = re.compile(r"^/?(?P<index>[^/?]+)/_(?:search|knn_search)(?:$|\?)")
_CREATE = re.compile(r"^/?(?P<index>[^/_?][^/?]*)(?:$|\?)")
_MAX_DEPTH = 6


def _request(instance: Any, args: Any, kwargs: Any) -> Operation | None:  # noqa: ARG001
    method = str(argument(args, kwargs, 0, "method")).upper()
    target = str(kwargs.get("target") or kwargs.get("url") or (args[1] if len(args) > 1 else ""))
    body = kwargs.get("body")
    if body is None and len(args) > 3:
        body = args[3]
    if isinstance(body, (str, bytes)):
        if b"knn" not in (body.encode() if isinstance(body, str) else body):
            return None
        body = json.loads(body)
    if not isinstance(body, Mapping):
        return None
    found = _SEARCH.match(target)
    if found is not None:
        nearest = _nearest(body)
        if nearest is None:
            return None
        vector = nearest.get("query_vector", nearest.get("vector"))
        top_k = nearest.get("k") or body.get("size")
        return Operation(
            "query", "search", found["index"], None, 1, top_k if isinstance(top_k, int) else None, width(vector)
        )
    found = _CREATE.match(target)
    if found is not None and method == "PUT" and ("dense_vector" in str(body) or "knn_vector" in str(body)):
        return Operation("manage", "create_index", found["index"])
    return None


def _nearest(body: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any] | None:
    """The clause that asks for neighbours: elasticsearch's `knn`, or opensearch's `query.knn.<field>`."""
    knn = body.get("knn")
    if isinstance(knn, list):
        knn = next((one for one in knn if isinstance(one, Mapping)), None)
    if isinstance(knn, Mapping):
        if "query_vector" in knn or "query_vector_builder" in knn or "vector" in knn:
            return knn
        return next((one for one in knn.values() if isinstance(one, Mapping)), None)
    if depth >= _MAX_DEPTH:
        return None
    inner = [value for value in body.values() if isinstance(value, (Mapping, list))]
    for value in inner:
        for one in value if isinstance(value, list) else [value]:
            found = _nearest(one, depth + 1) if isinstance(one, Mapping) else None
            if found is not None:
                return found
    return None


def _found(operation: Operation, result: Any) -> None:
    body, status = getattr(result, "body", result), getattr(getattr(result, "meta", None), "status", 200)
    if status >= 400:  # the client raises it only above the transport
        operation.failed = str(status)
        return
    hits = body.get("hits") if isinstance(body, Mapping) else None
    if operation.kind == "query" and isinstance(hits, Mapping):
        operation.returned = len(hits.get("hits") or ())


class ElasticsearchInstrumentor(PackageInstrumentor):
    """Instruments every client of elasticsearch, for kNN searches."""

    name = "elasticsearch"
    requires = "elasticsearch >= 8.15, < 10"
    methods = (
        Method(
            "elastic_transport._transport",
            "Transport.perform_request",
            wrapper=store("elasticsearch", _request, _found),
        ),
        Method(
            "elastic_transport._async_transport",
            "AsyncTransport.perform_request",
            wrapper=store("elasticsearch", _request, _found),
        ),
    )


class OpenSearchInstrumentor(PackageInstrumentor):
    """Instruments every client of opensearch, for kNN searches."""

    name = "opensearch-py"
    requires = "opensearch-py >= 2.8, < 4"
    methods = (
        Method("opensearchpy.transport", "Transport.perform_request", wrapper=store("opensearch", _request, _found)),
        Method(
            "opensearchpy._async.transport",
            "AsyncTransport.perform_request",
            wrapper=store("opensearch", _request, _found),
        ),
    )
