"""chromadb: collections in process and over HTTP. Read in chromadb 1.0 and 1.5 (`api/models/`, `api/client.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, size, store, width

_DEFAULTS = {"default_tenant", "default_database"}


def _namespace(instance: Any) -> str | None:
    names = [getattr(instance, "tenant", None), getattr(instance, "database", None)]
    return "/".join(str(name) for name in names if name and name not in _DEFAULTS) or None


def _query(instance: Any, args: Any, kwargs: Any) -> Operation:
    asked = [argument(args, kwargs, n, name) for n, name in enumerate(("query_embeddings", "query_texts"))]
    given = next((one for one in asked if one is not None), None)
    single = isinstance(given, str) or width([given]) == size(given)
    return Operation(
        "query", "query", instance.name, _namespace(instance), 1 if single else size(given) or 1,
        top_k=argument(args, kwargs, 5, "n_results", 10), dimension=width(asked[0]),
    )  # fmt: skip


def _found(operation: Operation, result: Mapping[str, Any]) -> None:
    operation.returned = sum(len(ids) for ids in result["ids"])


def _get(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    return Operation("manage", "get", instance.name, _namespace(instance))


def _got(operation: Operation, result: Mapping[str, Any]) -> None:
    operation.returned = len(result["ids"])


def _write(name: str) -> Any:
    def write(instance: Any, args: Any, kwargs: Any) -> Operation:
        ids, vectors = argument(args, kwargs, 0, "ids"), argument(args, kwargs, 1, "embeddings")
        count = 1 if isinstance(ids, str) else size(ids)
        return Operation("write", name, instance.name, _namespace(instance), count, dimension=width(vectors))

    return write


def _delete(instance: Any, args: Any, kwargs: Any) -> Operation:
    ids = argument(args, kwargs, 0, "ids")
    return Operation("delete", "delete", instance.name, _namespace(instance), 1 if isinstance(ids, str) else size(ids))


def _manage(name: str) -> Any:
    def manage(instance: Any, args: Any, kwargs: Any) -> Operation:
        return Operation("manage", name, str(argument(args, kwargs, 0, "name")), _namespace(instance))

    return manage


def _methods() -> tuple[Method, ...]:
    found = []
    for module, name in (("Collection", "Collection"), ("AsyncCollection", "AsyncCollection")):
        at = f"chromadb.api.models.{module}"
        found += [
            Method(at, f"{name}.query", wrapper=store("chroma", _query, _found)),
            Method(at, f"{name}.get", wrapper=store("chroma", _get, _got)),
            *(
                Method(at, f"{name}.{verb}", wrapper=store("chroma", _write(verb)))
                for verb in ("add", "upsert", "update")
            ),
            Method(at, f"{name}.delete", wrapper=store("chroma", _delete)),
        ]
    for module, name in (("client", "Client"), ("async_client", "AsyncClient")):
        found += [
            Method(f"chromadb.api.{module}", f"{name}.{verb}", wrapper=store("chroma", _manage(verb)))
            for verb in ("create_collection", "get_or_create_collection", "delete_collection")
        ]
    return tuple(found)


class ChromaInstrumentor(PackageInstrumentor):
    """Instruments every collection of chromadb, sync and async."""

    name = "chromadb"
    requires = "chromadb >= 1.0, < 2"
    methods = _methods()
