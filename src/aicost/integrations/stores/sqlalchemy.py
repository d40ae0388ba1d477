"""SQLAlchemy: statements on vectors through any driver. Read in SQLAlchemy 2.0 (`engine/default.py`).

A dialect's `do_execute` is where every statement goes through, of whichever driver and API.
"""

from __future__ import annotations

from typing import Any

from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.integrations._operations import Operation, argument, store

from ._sql import operation_of


def _reader(*, many: bool) -> Any:
    def read(instance: Any, args: Any, kwargs: Any) -> Operation | None:
        if instance.name != "postgresql":
            return None
        statement, parameters = argument(args, kwargs, 1, "statement"), argument(args, kwargs, 2, "parameters")
        operation = operation_of(statement, parameters, many=many)
        if operation is not None:
            operation.cursor = argument(args, kwargs, 0, "cursor")
        return operation

    return read


def _rows(operation: Operation, result: Any) -> None:  # noqa: ARG001 - the method returns nothing
    found = getattr(operation.cursor, "rowcount", -1)
    if operation.kind == "query" and isinstance(found, int) and found >= 0:
        operation.returned = found


class SQLAlchemyInstrumentor(PackageInstrumentor):
    """Instruments the dialects of SQLAlchemy, for statements that have vectors in them."""

    name = "SQLAlchemy"
    requires = "SQLAlchemy >= 2.0, < 3"
    methods = (
        Method(
            "sqlalchemy.engine.default",
            "DefaultDialect.do_execute",
            wrapper=store("postgresql", _reader(many=False), _rows),
        ),
        Method(
            "sqlalchemy.engine.default",
            "DefaultDialect.do_executemany",
            wrapper=store("postgresql", _reader(many=True)),
        ),
    )
