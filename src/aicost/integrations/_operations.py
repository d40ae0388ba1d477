"""Operations of vector databases: a span each, and what was asked, returned and written as meters.

A database integration says which methods are operations and reads their arguments. What an operation does in turn, a
retry or another client below, is part of it; an embedding it asks a model for is that model's call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sized
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from aicost.scopes.leaving import leave, reset
from aicost.semconv import attributes as a
from aicost.telemetry import guard
from aicost.telemetry.call import Call, CallResult, Target
from aicost.telemetry.state import Source
from aicost.usage.event import STORAGE_API, Chargeable, RequestStatus
from aicost.usage.meters import Quantity
from aicost.usage.readers import ResponseView
from aicost.usage.reading import Reading

from ._failures import was_timeout

_FLOAT = 4
"""Bytes of a number in a vector, as all of them store it unless told otherwise."""

OperationKind = Literal["query", "write", "delete", "manage"]


@dataclass(slots=True)
class Operation:
    """What an operation asks for; what it returned is added when it is done."""

    kind: OperationKind
    name: str
    """As upstream's `db.operation.name`: query, upsert, delete, create_collection, ..."""
    collection: str
    namespace: str | None = None
    count: int | None = 1
    """Queries, or records; None when that is not known."""
    top_k: int | None = None
    dimension: int | None = None
    returned: int | None = None
    units: Mapping[str, Quantity] | None = None
    """What the provider says it bills."""
    complete: bool = True
    """False when the provider bills something that nobody is told."""
    failed: str | None = None
    """The error that a result says, of a method that raises none."""
    cursor: Any = None
    """Where the result is, of a method that returns none."""

    def usage(self) -> dict[str, Quantity]:
        """What it used, by meter."""
        used: dict[str, Quantity] = dict(self.units or {})
        if self.count:
            if self.kind == "query":
                used["queries"] = self.count
            elif self.kind == "write":
                used["vectors_written"] = self.count
                if self.dimension:
                    used["vector_bytes_written"] = self.count * self.dimension * _FLOAT
            elif self.kind == "delete":
                used["vectors_deleted"] = self.count
        return used


OperationReader = Callable[[Any, tuple[Any, ...], dict[str, Any]], Operation | None]
"""Reads instance, args and kwargs of a method; None for what is no operation on vectors."""
Finish = Callable[[Operation, Any], None]
"""Adds to the operation what its result says."""

_under_way: ContextVar[bool] = ContextVar("aicost_store", default=False)


def store(system: str, reader: OperationReader, finish: Finish | None = None) -> Callable[[Source], Callable[..., Any]]:
    """Wraps a method of a client of the database `system`, sync or async."""

    def wrapper(source: Source) -> Callable[..., Any]:
        def begin(instance: Any, args: Any, kwargs: Any) -> _Doing | None:
            if _under_way.get() or not is_instrumentation_enabled():
                return None
            try:
                operation = reader(instance, args, kwargs)
                return None if operation is None else _Doing(source, system, operation, finish)
            except Exception as error:  # noqa: BLE001 - the application's query comes first
                guard.failed("open an operation", error)
                return None

        async def awaited(wrapped: Callable[..., Any], doing: _Doing, args: Any, kwargs: Any) -> Any:
            with doing:
                result = await wrapped(*args, **kwargs)
            doing.done(result)
            return result

        def execute(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            doing = begin(instance, args, kwargs)
            if doing is None:
                return wrapped(*args, **kwargs)
            if inspect.iscoroutinefunction(wrapped):
                return awaited(wrapped, doing, args, kwargs)
            with doing:
                result = wrapped(*args, **kwargs)
            if inspect.iscoroutine(result):
                return _rest(result, doing)
            doing.done(result)
            return result

        return execute

    return wrapper


async def _rest(result: Any, doing: _Doing) -> Any:
    """What a plain function left to be awaited."""
    with doing:
        found = await result
    doing.done(found)
    return found


class _Doing:
    """An operation, current while it runs; what it raises is how it ended."""

    __slots__ = ("_call", "_finish", "_operation", "_slot", "_token")

    def __init__(self, source: Source, system: str, operation: Operation, finish: Finish | None) -> None:
        self._operation, self._finish = operation, finish
        described: dict[str, Any] = {
            a.DB_SYSTEM_NAME: system,
            a.DB_OPERATION_NAME: operation.name,
            a.DB_COLLECTION_NAME: operation.collection,
        }
        if operation.namespace:
            described[a.DB_NAMESPACE] = operation.namespace
        if operation.count is not None and operation.count > 1:
            described[a.DB_OPERATION_BATCH_SIZE] = operation.count
        if operation.top_k is not None:
            described[a.AICOST_VECTOR_TOP_K] = operation.top_k
        if operation.dimension is not None:
            described[a.AICOST_VECTOR_DIMENSION] = operation.dimension
        # The collection is what is priced, and what its namespace costs can be told apart.
        where = f"{operation.collection}/{operation.namespace}" if operation.namespace else operation.collection
        self._call = Call(source(), Target(system, operation.name, STORAGE_API, where, described=described))
        self._call.attempt_started()

    def __enter__(self) -> None:
        self._slot = _under_way.set(True)
        self._token = otel_context.attach(self._call.context)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        leave(self._token, self._call.context)
        reset(_under_way, self._slot)
        if error is not None:
            status = RequestStatus.TIMEOUT if was_timeout(error) else RequestStatus.FAILURE
            chargeable = Chargeable.POSSIBLY if status is RequestStatus.TIMEOUT else Chargeable.NO
            complete = chargeable is Chargeable.NO
            self._call.finish(None, CallResult(status, chargeable, type(error).__name__, complete=complete))

    def done(self, result: Any) -> None:
        """It returned."""
        operation = self._operation
        try:
            if self._finish is not None:
                self._finish(operation, result)
            if operation.returned is not None:
                self._call.add_attributes({a.DB_RESPONSE_RETURNED_ROWS: operation.returned})
        except Exception as error:  # noqa: BLE001 - the application has its result
            guard.failed("read the result of an operation", error)
        if operation.failed is not None:
            self._call.finish(None, CallResult(RequestStatus.FAILURE, Chargeable.NO, operation.failed))
            return
        self._call.finish(ResponseView(Reading(operation.usage(), complete=operation.complete)), CallResult())


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, name: str, default: Any = None) -> Any:
    """An argument, however it was passed."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def size(value: object) -> int | None:
    """How many there are of something; None when that cannot be told without using it up."""
    return len(value) if isinstance(value, Sized) and not isinstance(value, (str, bytes)) else None


def width(value: object) -> int | None:
    """The numbers in a vector, or in the first of several; None for what is neither."""
    if value is None or isinstance(value, (str, bytes, Mapping)):
        return None
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape):
        return int(shape[-1])
    if not isinstance(value, Iterable) or not isinstance(value, Sized) or not len(value):
        return None
    first = next(iter(value))
    if isinstance(first, (int, float)) or type(first).__module__ == "numpy":
        inner = getattr(first, "shape", ())
        return int(inner[-1]) if inner else len(value)
    return width(first)
