"""psycopg 3: statements on vectors, with pgvector. Read in psycopg 3.2 and 3.3 (`cursor.py`, `cursor_async.py`)."""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, store

from ._sql import operation_of


def _reader(*, many: bool) -> Any:
    def read(instance: Any, args: Any, kwargs: Any) -> Operation | None:
        statement = argument(args, kwargs, 0, "query")
        if hasattr(statement, "as_string"):
            statement = statement.as_string(instance)
        operation = operation_of(statement, argument(args, kwargs, 1, "params_seq" if many else "params"), many=many)
        if operation is not None:
            database = instance.connection.info.dbname
            operation.namespace = str(database) if database else None
        return operation

    return read


def _rows(operation: Operation, result: Any) -> None:
    if operation.kind == "query" and result is not None and result.rowcount >= 0:
        operation.returned = result.rowcount


class PsycopgInstrumentor(PackageInstrumentor):
    """Instruments the cursors of psycopg, for statements that have vectors in them."""

    name = "psycopg"
    requires = "psycopg >= 3.2, < 4"
    methods = (
        Method("psycopg.cursor", "Cursor.execute", wrapper=store("postgresql", _reader(many=False), _rows)),
        Method("psycopg.cursor", "Cursor.executemany", wrapper=store("postgresql", _reader(many=True))),
        Method("psycopg.cursor_async", "AsyncCursor.execute", wrapper=store("postgresql", _reader(many=False), _rows)),
        Method("psycopg.cursor_async", "AsyncCursor.executemany", wrapper=store("postgresql", _reader(many=True))),
    )
