"""pinecone: indexes over HTTP and gRPC. Read in pinecone 10.2 (`index/`, `async_client/async_index.py`, `grpc/`).

Read units come with each response; of write units it says nothing, so a write is priced in part.
"""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, size, store, width


def _index(instance: Any) -> str:
    """The index's name: the first part of its host is the name and the project's id."""
    host = str(getattr(instance, "host", None) or getattr(instance, "_host", None) or "index")
    return host.partition("//")[2].partition(".")[0].rpartition("-")[0] or host.partition("//")[2] or host


def _query(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    vector = kwargs.get("vector")
    return Operation(
        "query", "query", _index(instance), kwargs.get("namespace") or None,
        top_k=kwargs.get("top_k"), dimension=width(vector) if vector is not None else None,
    )  # fmt: skip


def _fetch(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    return Operation("query", "fetch", _index(instance), kwargs.get("namespace") or None)


def _found(operation: Operation, result: Any) -> None:
    found = getattr(result, "matches", None)
    if found is None:
        found = getattr(getattr(result, "result", None), "hits", None)
    if found is None:
        found = getattr(result, "vectors", None)
    operation.returned = size(found)
    units = getattr(getattr(result, "usage", None), "read_units", None)
    operation.complete = units is not None
    if units:
        operation.units = {"read_units": units}


def _upsert(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    vectors = kwargs.get("vectors") or kwargs.get("records")
    first = next(iter(vectors), None) if size(vectors) else None
    values = first[1] if isinstance(first, tuple) else first
    values = values.get("values") if isinstance(values, dict) else getattr(values, "values", values)
    return Operation(
        "write", "upsert", _index(instance), kwargs.get("namespace") or None, size(vectors),
        dimension=width(values), complete=False,
    )  # fmt: skip


def _update(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    values = kwargs.get("values")
    return Operation(
        "write", "update", _index(instance), kwargs.get("namespace") or None, dimension=width(values), complete=False
    )


def _delete(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    ids = kwargs.get("ids")
    return Operation("delete", "delete", _index(instance), kwargs.get("namespace") or None, size(ids), complete=False)


def _methods(module: str, owner: str) -> list[Method]:
    reads = {
        "query": (_query, _found),
        "search": (_query, _found),
        "fetch": (_fetch, _found),
        "upsert": (_upsert, None),
        "upsert_records": (_upsert, None),
        "update": (_update, None),
        "delete": (_delete, None),
    }
    return [
        Method(
            module, f"{owner}.{name}", wrapper=store("pinecone", *how), optional=name in ("search", "upsert_records")
        )
        for name, how in reads.items()
    ]


class PineconeInstrumentor(PackageInstrumentor):
    """Instruments every index of pinecone: sync, async and gRPC."""

    name = "pinecone"
    requires = "pinecone >= 10, < 11"
    methods = (
        *_methods("pinecone.index", "Index"),
        *_methods("pinecone.async_client.async_index", "AsyncIndex"),
        *_methods("pinecone.grpc", "GrpcIndex"),
    )
