"""pymilvus: `MilvusClient`, sync and async, against a server or milvus-lite. Read in pymilvus 2.5 and 3.0."""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, size, store, width


def _search(instance: Any, args: Any, kwargs: Any) -> Operation:
    asked = argument(args, kwargs, 1, "data")
    return Operation(
        "query", "search", _collection(args, kwargs), _database(instance), size(asked) or 1,
        top_k=argument(args, kwargs, 3, "limit", 10), dimension=width(asked),
    )  # fmt: skip


def _hybrid(instance: Any, args: Any, kwargs: Any) -> Operation:
    limit = argument(args, kwargs, 3, "limit", 10)
    return Operation("query", "hybrid_search", _collection(args, kwargs), _database(instance), top_k=limit)


def _found_each(operation: Operation, result: Any) -> None:
    operation.returned = sum(len(hits) for hits in result)


def _query(instance: Any, args: Any, kwargs: Any) -> Operation:
    return Operation("manage", "query", _collection(args, kwargs), _database(instance))


def _found(operation: Operation, result: Any) -> None:
    operation.returned = size(result)


def _write(name: str) -> Any:
    def write(instance: Any, args: Any, kwargs: Any) -> Operation:
        data = argument(args, kwargs, 1, "data")
        rows = [data] if isinstance(data, dict) else data
        first = next(iter(rows), None) if size(rows) else None
        widths = [w for value in first.values() if (w := width(value))] if isinstance(first, dict) else []
        return Operation(
            "write", name, _collection(args, kwargs), _database(instance), size(rows),
            dimension=max(widths, default=None),
        )  # fmt: skip

    return write


def _delete(instance: Any, args: Any, kwargs: Any) -> Operation:
    ids = argument(args, kwargs, 1, "ids")
    count = 1 if isinstance(ids, (str, int)) else size(ids)
    return Operation("delete", "delete", _collection(args, kwargs), _database(instance), count)


def _manage(name: str) -> Any:
    def manage(instance: Any, args: Any, kwargs: Any) -> Operation:
        return Operation("manage", name, _collection(args, kwargs), _database(instance))

    return manage


def _collection(args: Any, kwargs: Any) -> str:
    return str(argument(args, kwargs, 0, "collection_name"))


def _database(instance: Any) -> str | None:
    name = getattr(getattr(instance, "_config", None), "db_name", None) or getattr(instance, "_db_name", None)
    return str(name) if name and name != "default" else None


def _methods(module: str, owner: str) -> list[Method]:
    reads = {
        "search": (_search, _found_each),
        "hybrid_search": (_hybrid, _found_each),
        "query": (_query, _found),
        "get": (_query, _found),
        "insert": (_write("insert"), None),
        "upsert": (_write("upsert"), None),
        "delete": (_delete, None),
        **{name: (_manage(name), None) for name in ("create_collection", "create_index", "drop_collection")},
    }
    return [
        Method(module, f"{owner}.{name}", wrapper=store("milvus", *how), optional=owner.startswith("Async"))
        for name, how in reads.items()
    ]


class MilvusInstrumentor(PackageInstrumentor):
    """Instruments every `MilvusClient` and `AsyncMilvusClient`."""

    name = "pymilvus"
    requires = "pymilvus >= 2.5, < 4"
    methods = (
        *_methods("pymilvus.milvus_client.milvus_client", "MilvusClient"),
        *_methods("pymilvus.milvus_client.async_milvus_client", "AsyncMilvusClient"),
    )
