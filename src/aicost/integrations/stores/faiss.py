"""faiss: every kind of index. Read in faiss-cpu 1.8 and 1.15, whose `class_wrappers.py` replaces methods by class."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import wrapt
from opentelemetry.instrumentation.utils import unwrap

from aicost.integrations._instrumentor import Extension, PackageInstrumentor, Undo
from aicost.integrations._operations import Operation, argument, size, store
from aicost.telemetry.state import Source


def _search(instance: Any, args: Any, kwargs: Any) -> Operation:
    asked = argument(args, kwargs, 0, "x")
    top_k = argument(args, kwargs, 1, "k")
    return Operation("query", "search", type(instance).__name__, None, size(asked), top_k, instance.d)


def _found(operation: Operation, result: Any) -> None:
    labels = result[1] if isinstance(result, tuple) else None
    operation.returned = int((labels >= 0).sum()) if labels is not None else None


def _add(instance: Any, args: Any, kwargs: Any) -> Operation:
    vectors = argument(args, kwargs, 0, "x")
    return Operation("write", "add", type(instance).__name__, None, size(vectors), dimension=instance.d)


def _train(instance: Any, args: Any, kwargs: Any) -> Operation:
    vectors = argument(args, kwargs, 0, "x")
    return Operation("manage", "train", type(instance).__name__, None, size(vectors), dimension=instance.d)


def _remove(instance: Any, args: Any, kwargs: Any) -> Operation:
    ids = argument(args, kwargs, 0, "x")
    return Operation("delete", "remove_ids", type(instance).__name__, None, size(ids))


_METHODS = {
    "search": (_search, _found),
    "add": (_add, None),
    "add_with_ids": (_add, None),
    "train": (_train, None),
    "remove_ids": (_remove, None),
}


def _wrap_all(module: ModuleType, source: Source) -> Undo:
    """Each class of index has methods of its own."""
    undo = []
    for found in list(vars(module).values()):
        if isinstance(found, type) and issubclass(found, module.Index):
            for name, how in _METHODS.items():
                if name in vars(found):
                    wrapt.wrap_function_wrapper(found, name, store("faiss", *how)(source))
                    undo.append(partial(unwrap, found, name))

    def all_of_them() -> None:
        for one in undo:
            one()

    return all_of_them


class FaissInstrumentor(PackageInstrumentor):
    """Instruments every index of faiss. One that is not named is called by its kind."""

    name = "faiss-cpu"
    requires = "faiss-cpu >= 1.8, < 2"
    extensions = (Extension("faiss", _wrap_all),)
