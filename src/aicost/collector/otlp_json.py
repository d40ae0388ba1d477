"""OTLP/JSON: protobuf messages as JSON, the way OTLP wants it.

It is the protobuf JSON mapping but for ids, which are hexadecimal, and enumerations, which are numbers; names are
lowerCamelCase only, and unknown ones are ignored (OTLP specification, "JSON Protobuf Encoding"). protobuf's own
`json_format` has it otherwise in all of these, and takes ten times as long.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from aicost._wellformed import wellformed

_HEX = {"trace_id", "span_id", "parent_span_id"}
_INT64 = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
    FieldDescriptor.TYPE_SINT64,
}
_FLOATS = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
_NUMBER = re.compile(r"-?\d{1,400}(\.\d{1,400})?([eE][-+]?\d{1,10})?", re.ASCII)
"""What is a number where it is written as text; longer ones fit no field."""
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DEEPEST = 100
"""As protobuf's own limit: how deep messages may nest."""


class OtlpJsonError(ValueError):
    """What is no OTLP/JSON. The message names the field."""


def from_json(data: object, message: Message) -> None:
    """Fill an OTLP message from JSON data. Raises `OtlpJsonError` for what does not fit its schema."""
    try:
        _fill(data, message, "", 0)
    except RecursionError:
        raise OtlpJsonError("nested too deep") from None


def to_json(message: Message) -> dict[str, Any]:
    """An OTLP message as JSON data."""
    return {
        field.camelcase_name: [_shown(field, item) for item in value] if _repeated(field) else _shown(field, value)
        for field, value in message.ListFields()
    }


def _fill(data: object, message: Message, path: str, depth: int) -> None:
    if not isinstance(data, Mapping):
        raise OtlpJsonError(f"{path or 'the request'}: expected an object, not {_named(data)}")
    if depth > _DEEPEST:
        raise OtlpJsonError(f"{path[:100]}...: nested deeper than {_DEEPEST}")
    fields = _fields(message.DESCRIPTOR)
    for name, value in data.items():
        found = fields.get(name)
        if found is None or value is None:
            continue
        field, read = found
        here = f"{path}.{name}" if path else name
        if read is None:
            if not _repeated(field):
                child = getattr(message, field.name)
                child.SetInParent()
                _fill(value, child, here, depth + 1)
            else:
                children = getattr(message, field.name)
                for number, item in enumerate(_listed(value, here)):
                    _fill(item, children.add(), f"{here}[{number}]", depth + 1)
            continue
        try:
            if _repeated(field):
                getattr(message, field.name).extend([read(item) for item in _listed(value, here)])
            else:
                setattr(message, field.name, read(value))
        except (TypeError, ValueError, ArithmeticError, binascii.Error) as error:
            raise OtlpJsonError(f"{here}: {_named(value)} does not fit: {error!s:.100}") from None


def _listed(value: object, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise OtlpJsonError(f"{path}: expected an array, not {_named(value)}")


def _named(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 1024:  # Python refuses to write out the longest ones
        return f"a whole number of {value.bit_length()} bits"
    return f"{type(value).__name__} {value!r:.40}"


@cache
def _fields(descriptor: Descriptor) -> dict[str, tuple[FieldDescriptor, Callable[[Any], Any] | None]]:
    """The fields of a message by their JSON name, each with what reads its value; None for messages."""
    return {field.camelcase_name: (field, _reader(field)) for field in descriptor.fields}


def _repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def _reader(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return None
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.fromhex if field.name in _HEX else _base64
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _bool
    return _double if field.type in _FLOATS else _whole


def _base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("not base64 text")
    text = value.replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return wellformed(value)  # JavaScript's strings may end in half a surrogate pair: no reason to lose the request


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _double(value: Any) -> float:
    if isinstance(value, str):
        if value in _SPECIAL:
            return _SPECIAL[value]
        if _NUMBER.fullmatch(value) is None:
            raise ValueError("not a number")
    elif isinstance(value, bool):
        raise TypeError("not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("larger than a double can be")
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError("not a whole number")
    if isinstance(value, str) and (len(value) > 20 or _NUMBER.fullmatch(value) is None):
        raise ValueError("not a whole number of 64 bits")
    return int(value)


def _shown(field: FieldDescriptor, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return to_json(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return value.hex() if field.name in _HEX else base64.b64encode(value).decode()
    if field.type in _INT64:
        return str(value)
    if field.type in _FLOATS and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
