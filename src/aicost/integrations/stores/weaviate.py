"""weaviate-client: searches and writes over gRPC and HTTP. Read in weaviate-client 4.16 and 4.23 (`collections/`)."""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, size, store, width


def _where(instance: Any) -> tuple[str, str | None]:
    tenant = getattr(instance, "_tenant", None)
    return str(getattr(instance, "_name", None) or getattr(instance, "name", "collection")), tenant


def _search(instance: Any, args: Any, kwargs: Any) -> Operation:
    vector = argument(args, kwargs, 0, "near_vector") if "query" not in kwargs else kwargs.get("vector")
    return Operation("query", "query", *_where(instance), 1, kwargs.get("limit"), width(vector))


def _found(operation: Operation, result: Any) -> None:
    operation.returned = size(getattr(result, "objects", None))


def _insert(instance: Any, args: Any, kwargs: Any) -> Operation:
    vector = argument(args, kwargs, 3, "vector")
    return Operation("write", "insert", *_where(instance), 1, dimension=width(vector))


def _insert_many(instance: Any, args: Any, kwargs: Any) -> Operation:
    objects = argument(args, kwargs, 0, "objects")
    first = next(iter(objects), None) if size(objects) else None
    return Operation(
        "write", "insert", *_where(instance), size(objects), dimension=width(getattr(first, "vector", None))
    )


def _delete(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    return Operation("delete", "delete", *_where(instance), 1)


def _delete_many(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    return Operation("delete", "delete", *_where(instance), None)


def _deleted(operation: Operation, result: Any) -> None:
    operation.count = getattr(result, "successful", None)


_DATA = "weaviate.collections.data.executor"


class WeaviateInstrumentor(PackageInstrumentor):
    """Instruments every collection of weaviate, sync and async."""

    name = "weaviate-client"
    requires = "weaviate-client >= 4.16, < 5"
    methods = (
        *(
            Method(
                f"weaviate.collections.queries.{kind}.query.executor",
                f"{owner}.{kind}",
                wrapper=store("weaviate", _search, _found),
            )
            for kind, owner in (
                ("near_vector", "_NearVectorQueryExecutor"),
                ("near_text", "_NearTextQueryExecutor"),
                ("near_object", "_NearObjectQueryExecutor"),
                ("hybrid", "_HybridQueryExecutor"),
            )
        ),
        Method(_DATA, "_DataCollectionExecutor.insert", wrapper=store("weaviate", _insert)),
        Method(_DATA, "_DataCollectionExecutor.insert_many", wrapper=store("weaviate", _insert_many)),
        Method(_DATA, "_DataCollectionExecutor.delete_by_id", wrapper=store("weaviate", _delete)),
        Method(_DATA, "_DataCollectionExecutor.delete_many", wrapper=store("weaviate", _delete_many, _deleted)),
    )
