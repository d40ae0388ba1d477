"""lancedb: tables and their searches, sync and async. Read in 0.25 and 0.40 (`table.py`, `query.py`, `db.py`)."""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, size, store, width


def _search(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    asked = getattr(instance, "_query", None)
    table = getattr(instance, "_table", None)
    count = 1 if width([asked]) == size(asked) else size(asked) or 1
    top_k = getattr(instance, "_limit", None)
    return Operation(
        "query", "search", str(getattr(table, "name", "table")), None, count,
        top_k if isinstance(top_k, int) else None, width(asked),
    )  # fmt: skip


def _found(operation: Operation, result: Any) -> None:
    operation.returned = getattr(result, "num_rows", None)


def _searched(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    asked = instance.to_query_object()
    vectors = asked.vector
    return Operation("query", "search", "table", None, 1, asked.limit, width(vectors))


def _add(instance: Any, args: Any, kwargs: Any) -> Operation:
    data = argument(args, kwargs, 0, "data")
    rows = getattr(data, "num_rows", None)
    first = data[0] if isinstance(data, list) and data else None
    widths = [w for value in first.values() if (w := width(value))] if isinstance(first, dict) else []
    count = rows if rows is not None else size(data)
    return Operation("write", "add", str(instance.name), None, count, dimension=max(widths, default=None))


def _manage(name: str) -> Any:
    def manage(instance: Any, args: Any, kwargs: Any) -> Operation:
        return Operation("manage", name, str(getattr(instance, "name", None) or argument(args, kwargs, 0, "name")))

    return manage


def _delete(instance: Any, args: Any, kwargs: Any) -> Operation:  # noqa: ARG001
    return Operation("delete", "delete", str(instance.name), count=None)


def _table(owner: str) -> list[Method]:
    return [
        Method("lancedb.table", f"{owner}.add", wrapper=store("lancedb", _add)),
        Method("lancedb.table", f"{owner}.delete", wrapper=store("lancedb", _delete)),
        Method("lancedb.table", f"{owner}.create_index", wrapper=store("lancedb", _manage("create_index"))),
    ]


class LanceDBInstrumentor(PackageInstrumentor):
    """Instruments every table of lancedb."""

    name = "lancedb"
    requires = "lancedb >= 0.25, < 1"
    methods = (
        *(
            Method("lancedb.query", f"{owner}.to_arrow", wrapper=store("lancedb", _search, _found))
            for owner in ("LanceVectorQueryBuilder", "LanceHybridQueryBuilder")
        ),
        Method("lancedb.query", "AsyncQueryBase.to_arrow", wrapper=store("lancedb", _searched, _found)),
        *_table("LanceTable"),
        *_table("AsyncTable"),
        *(
            Method("lancedb.db", f"{owner}.{verb}", wrapper=store("lancedb", _manage(verb)))
            for owner in ("LanceDBConnection", "AsyncConnection")
            for verb in ("create_table", "drop_table")
        ),
    )
