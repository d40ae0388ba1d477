"""Every setting of a model by itself, however deep its section: for the docs, the tests, and what must not be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from .units import Program, ReadBy, Unit


class Leaf(NamedTuple):
    """A setting that is no section, or a list of sections."""

    path: tuple[str, ...]
    """Where it is; a list of sections is `name[]`."""
    field: FieldInfo
    """What the model says of it."""
    model: type[BaseModel]
    """The section that it is in."""

    @property
    def key(self) -> str:
        """As a file has it: `collector.receivers.http.listen`."""
        return ".".join(self.path)

    @property
    def variable(self) -> str | None:
        """As the environment has it; None within a list, which is one variable."""
        return None if "[]" in self.key else f"AICOST_{'__'.join(self.path).upper()}"

    @property
    def unit(self) -> str:
        """What a number of it is of."""
        return next((mark.name for mark in self.field.metadata if isinstance(mark, Unit)), "")

    @property
    def read_by(self) -> tuple[Program, ...]:
        """The programs that go by it."""
        own: tuple[Program, ...] = ("collector",) if self.path[0] == "collector" else ("process",)
        return next((mark.programs for mark in self.field.metadata if isinstance(mark, ReadBy)), own)

    @property
    def secret(self) -> bool:
        """Whether it must not be shown."""
        return SecretStr in kinds(self.field.annotation)


def leaves(model: type[BaseModel], under: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """The settings of a model, in its order. A list of sections comes as a whole, and then each key of them."""
    for name, field in model.model_fields.items():
        found = kinds(field.annotation)
        sections = [kind for kind in found if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if tuple in found or not sections:
            yield Leaf((*under, name), field, model)
        for section in sections:
            yield from leaves(section, (*under, f"{name}[]" if tuple in found else name))


def kinds(annotation: Any) -> list[Any]:
    """What an annotation is made of: `tuple[A | B, ...]` is tuple, A and B."""
    if get_origin(annotation) is Annotated:
        return kinds(get_args(annotation)[0])
    parts = [kind for part in get_args(annotation) for kind in kinds(part)]
    return [annotation] if not parts else [get_origin(annotation), *parts]
