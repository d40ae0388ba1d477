"""qdrant-client: local, over HTTP and over gRPC. Read in qdrant-client 1.14 and 1.20 (`qdrant_client.py`)."""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, size, store, width


def _query(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    asked, limit = argument(args, kwargs, 1, "query"), kwargs.get("limit", 10)
    asked = getattr(asked, "nearest", asked)
    return Operation("query", "query", _collection(args, kwargs), top_k=limit, dimension=width(asked))


def _found(operation: Operation, result: Any) -> None:
    operation.returned = len(result.points)


def _batch(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    requests = argument(args, kwargs, 1, "requests")
    return Operation("query", "query", _collection(args, kwargs), count=size(requests) or 1)


def _found_each(operation: Operation, result: Any) -> None:
    operation.returned = sum(len(one.points) for one in result)


def _groups(operation: Operation, result: Any) -> None:
    operation.returned = sum(len(group.hits) for group in result.groups)


def _upsert(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    points = argument(args, kwargs, 1, "points")
    ids = getattr(points, "ids", None)
    count = size(ids if ids is not None else points)
    vectors = getattr(points, "vectors", None)
    if vectors is None and count and ids is None:
        vectors = getattr(next(iter(points)), "vector", None)
    return Operation("write", "upsert", _collection(args, kwargs), count=count, dimension=width(vectors))


def _upload(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    vectors = argument(args, kwargs, 1, "vectors")
    return Operation("write", "upsert", _collection(args, kwargs), count=size(vectors), dimension=width(vectors))


def _delete(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    chosen = argument(args, kwargs, 1, "points_selector")
    chosen = getattr(chosen, "points", chosen)
    return Operation("delete", "delete", _collection(args, kwargs), count=size(chosen))


def _manage(name: str) -> Any:
    def manage(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
        return Operation("manage", name, _collection(args, kwargs))

    return manage


def _collection(args: Any, kwargs: Any) -> str:
    return str(argument(args, kwargs, 0, "collection_name"))


def _methods(module: str, owner: str) -> list[Method]:
    reads = {
        "query_points": (_query, _found),
        "query_batch_points": (_batch, _found_each),
        "query_points_groups": (_query, _groups),
        "upsert": (_upsert, None),
        "upload_points": (_upsert, None),
        "upload_collection": (_upload, None),
        "delete": (_delete, None),
    }
    managed = ("create_collection", "recreate_collection", "delete_collection", "create_payload_index")
    return [
        *(Method(module, f"{owner}.{name}", wrapper=store("qdrant", *how)) for name, how in reads.items()),
        *(Method(module, f"{owner}.{name}", wrapper=store("qdrant", _manage(name)), optional=True) for name in managed),
    ]


class QdrantInstrumentor(PackageInstrumentor):
    """Instruments every `QdrantClient` and `AsyncQdrantClient`."""

    name = "qdrant-client"
    requires = "qdrant-client >= 1.14, < 2"
    methods = (
        *_methods("qdrant_client.qdrant_client", "QdrantClient"),
        *_methods("qdrant_client.async_qdrant_client", "AsyncQdrantClient"),
    )
