"""OTLP trace requests as bytes: finding the spans in them, reading one, adding attributes to it, taking one out.

Only spans that are looked at are ever decoded. Everything else, unknown fields and order included, goes on as the very
bytes that came. Two properties of protobuf's encoding make that possible: a message inside a message is its bytes with
a length before them, and appending an encoded field to a message's bytes adds it to the message.

Field numbers: opentelemetry-proto 1.10, `trace/v1/trace.proto` and `common/v1/common.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from aicost._bounded import remembered, short
from aicost.telemetry.deduplication import Observer

_T = TypeVar("_T")
_LEN, _VARINT, _FIXED64, _FIXED32 = 2, 0, 1, 5
_RESOURCE_SPANS, _SPANS = 0x0A, 0x12
_NAME, _KEY_VALUE = 0x0A, 0x4A


_double = struct.Struct("<d")


MOST_PARTS = 50_000
"""Resources and scopes in a request, and a twentieth of the spans: a few bytes each would be a lot of memory."""


class MalformedRequestError(ValueError):
    """A request whose bytes are no OTLP. The message says where."""


class Edit(NamedTuple):
    """What to do with a span: add an encoded fragment to it, or, at None, take it out."""

    tag: int
    start: int
    end: int
    fragment: bytes | None
    span: bytes | None = None
    """What to put in place of the span's own bytes."""


class ScopeSpans:
    """The spans of one instrumentation scope: where each one's bytes are in the request."""

    __slots__ = ("edits", "end", "header", "name", "observer", "spans", "start", "version")

    def __init__(self, header: int, start: int, end: int) -> None:
        self.header, self.start, self.end = header, start, end
        """Where its length is written, and where its content starts and ends."""
        self.name = self.version = ""
        self.spans: list[tuple[int, int, int]] = []
        """Tag, start and end of each span."""
        self.edits: list[Edit] = []
        self.observer: Observer | None = None
        """Who tells of them, once that is asked."""


class ResourceSpans:
    """The spans of one resource."""

    __slots__ = ("_digest", "_told", "end", "header", "resource", "scopes", "start")

    def __init__(self, header: int, start: int, end: int) -> None:
        self.header, self.start, self.end = header, start, end
        self.resource = b""
        self.scopes: list[ScopeSpans] = []
        self._digest: bytes | None = None
        self._told: dict[Any, Any] = {}

    @property
    def digest(self) -> bytes:
        """What it is known by: sixteen bytes, however large it is."""
        if self._digest is None:
            self._digest = blake2b(self.resource, digest_size=16).digest()
        return self._digest

    def told(self, read: Callable[[bytes], _T]) -> _T:
        """What a reader makes of it, once a request: it may be large, and of many spans."""
        if read not in self._told:
            self._told[read] = read(self.resource)
        return cast("_T", self._told[read])


def read_request(data: bytes) -> list[ResourceSpans]:
    """Where everything is in an ExportTraceServiceRequest. Raises `MalformedRequestError`."""
    found: list[ResourceSpans] = []
    parts = spans = 0
    try:
        position, end = 0, len(data)
        while position < end:
            number, kind, header = _tag(data, position)
            start, stop = _content(data, kind, header, end)
            if number == 1 and kind == _LEN:
                found.append(_resource(data, header, start, stop))
                parts += 1 + len(found[-1].scopes)
                spans += sum([len(scope.spans) for scope in found[-1].scopes])
                if parts > MOST_PARTS or spans > 20 * MOST_PARTS:
                    raise MalformedRequestError("more resources, scopes or spans than a request may have")
            position = stop
    except IndexError:
        raise MalformedRequestError("the request ends in the middle of a field") from None
    return found


def _resource(data: bytes, header: int, position: int, end: int) -> ResourceSpans:
    found = ResourceSpans(header, position, end)
    while position < end:
        number, kind, inner = _tag(data, position)
        start, position = _content(data, kind, inner, end)
        if kind == _LEN and number == 1:
            found.resource = data[start:position]
        elif kind == _LEN and number == 2:
            found.scopes.append(_scope(data, inner, start, position))
            if len(found.scopes) > MOST_PARTS:
                raise MalformedRequestError("more scopes than a request may have")
    return found


def _scope(data: bytes, header: int, position: int, end: int) -> ScopeSpans:
    found = ScopeSpans(header, position, end)
    add = found.spans.append
    while position < end:
        tag = position
        if data[position] == _SPANS:  # nearly always; the same as below, without the calls
            size = data[position + 1]
            position += 2
            if size >= 0x80:
                more = data[position]
                position += 1
                size = (size & 0x7F) | more << 7
                if more >= 0x80:
                    size, position = _varint(data, tag + 1)
            stop = position + size
            if stop > end:
                raise MalformedRequestError(f"a span at byte {tag} is longer than what holds it")
            add((tag, position, stop))
            position = stop
            if len(found.spans) > 20 * MOST_PARTS:
                raise MalformedRequestError("more spans than a request may have")
            continue
        number, kind, inner = _tag(data, position)
        start, position = _content(data, kind, inner, end)
        if kind == _LEN and number == 1:
            found.name, found.version = _scope_name(data[start:position])
        elif kind == _LEN and number == 2:
            add((tag, start, position))
    return found


@remembered(4096)
def _scope_name(encoded: bytes) -> tuple[str, str]:
    try:
        scope = Scope.FromString(encoded)
    except DecodeError:
        raise MalformedRequestError("an instrumentation scope cannot be decoded") from None
    return short(scope.name.decode(errors="replace")), short(scope.version.decode(errors="replace"))


def _tag(data: bytes, position: int) -> tuple[int, int, int]:
    """Field number, wire type, and the position after both."""
    value, position = _varint(data, position)
    if value >> 3 == 0:
        raise MalformedRequestError(f"field number 0 at byte {position}")
    return value >> 3, value & 7, position


def _content(data: bytes, kind: int, position: int, end: int) -> tuple[int, int]:
    """Where the content of a field starts and ends."""
    if kind == _LEN:
        size, position = _varint(data, position)
        stop = position + size
    elif kind == _VARINT:
        _, stop = _varint(data, position)
    elif kind in (_FIXED64, _FIXED32):
        stop = position + (8 if kind == _FIXED64 else 4)
    else:
        raise MalformedRequestError(f"wire type {kind} at byte {position}")
    if stop > end:
        raise MalformedRequestError(f"a field at byte {position} is longer than what holds it")
    return position, stop


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise MalformedRequestError(f"a number at byte {position} is too long")


def spliced(data: bytes, resources: Iterable[ResourceSpans]) -> bytes:
    """The request with every edit made. Bytes that no edit and no length concerns are the ones that came."""
    pieces: list[bytes] = []
    put, done = pieces.append, 0
    for resource in resources:
        changed = [(scope, *_grown(data, scope)) for scope in resource.scopes if scope.edits]
        if not changed:
            continue
        put(data[done : resource.header])
        put(varint(resource.end - resource.start + sum(grown for _, _, grown in changed)))
        done = resource.start
        for scope, inner, _ in changed:
            put(data[done : scope.header])
            put(varint(sum(map(len, inner))))
            pieces += inner
            done = scope.end
    put(data[done:])
    return b"".join(pieces)


def _grown(data: bytes, scope: ScopeSpans) -> tuple[list[bytes], int]:
    """The content of a scope's spans after its edits, and by how many bytes its whole field is longer."""
    pieces: list[bytes] = []
    put, done = pieces.append, scope.start
    for tag, start, end, fragment, other in sorted(scope.edits):
        if fragment is None:
            put(data[done:tag])
        else:
            if tag != done:
                put(data[done:tag])
            span = data[start:end] if other is None else other
            size = len(span) + len(fragment)
            if size < 16384:
                put(bytes((_SPANS, size & 0x7F | 0x80, size >> 7)) if size > 127 else bytes((_SPANS, size)))
            else:
                put(b"\x12" + varint(size))
            put(span)
            put(fragment)
        done = end
    put(data[done : scope.end])
    size, before = sum(map(len, pieces)), scope.end - scope.start
    return pieces, size - before + len(varint(size)) - (scope.start - scope.header)


# What is read of a span, as messages of our own that are the same on the wire: a map in place of a list of pairs, so
# that an attribute is looked up and not searched for, and bytes in place of text and of values, so that what nobody
# asks for need not be checked. Of a key that is there twice the last value counts.


def _messages() -> list[Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="aicost/wire.proto", package="aicost.wire", syntax="proto2")

    def message(called: str, /, **fields: tuple[int, int, str]) -> Any:
        made = file.message_type.add(name=called)
        for key, (number, kind, of) in fields.items():
            label = (
                field.LABEL_REPEATED if kind == field.TYPE_MESSAGE and of.endswith("Entry") else field.LABEL_OPTIONAL
            )
            made.field.add(name=key, number=number, type=kind, label=label, type_name=of or None)
        return made

    def with_attributes(called: str, number: int, /, **fields: tuple[int, int, str]) -> None:
        entry_type = f".aicost.wire.{called}.AttributesEntry"
        made = message(called, attributes=(number, field.TYPE_MESSAGE, entry_type), **fields)
        entry = made.nested_type.add(name="AttributesEntry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
        entry.field.add(name="value", number=2, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)

    message("Status", code=(3, field.TYPE_INT32, ""))
    message("KeyOf", key=(1, field.TYPE_BYTES, ""))
    message("Scope", name=(1, field.TYPE_BYTES, ""), version=(2, field.TYPE_BYTES, ""))
    with_attributes("Resource", 1)
    with_attributes(
        "Span",
        9,
        trace_id=(1, field.TYPE_BYTES, ""),
        span_id=(2, field.TYPE_BYTES, ""),
        parent_span_id=(4, field.TYPE_BYTES, ""),
        name=(5, field.TYPE_BYTES, ""),
        start=(7, field.TYPE_FIXED64, ""),
        end=(8, field.TYPE_FIXED64, ""),
        status=(15, field.TYPE_MESSAGE, ".aicost.wire.Status"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"aicost.wire.{name}"))
        for name in ("Span", "Resource", "Scope", "KeyOf")
    ]


Span, Resource, Scope, KeyOf = _messages()


def decoded(value: bytes) -> Any:
    """An attribute's value as text or a number; None for an array, a map or bytes."""
    if not value:
        return None
    kind = value[0]
    if kind == 0x18:
        size = len(value)
        if size == 2:
            return value[1]
        if size == 3:
            return value[1] & 0x7F | value[2] << 7
    elif kind == 0x0A and value[1] < 0x80 and value[1] + 2 == len(value):
        return str(value[2:], "utf-8", "replace")
    elif kind == 0x21 and len(value) == 9:
        return _double.unpack_from(value, 1)[0]
    try:
        full = AnyValue.FromString(value)
    except DecodeError:  # text that is no UTF-8
        return _lenient(value)
    which = full.WhichOneof("value")
    return getattr(full, which) if which in _PLAIN else None


def texts(value: bytes) -> tuple[str, ...]:
    """An attribute's value as texts, if it is an array of them."""
    try:
        return tuple([one.string_value for one in AnyValue.FromString(value).array_value.values])
    except DecodeError:
        return ()


_PLAIN = {"string_value", "int_value", "double_value", "bool_value"}


def _lenient(value: bytes) -> str | None:
    if value[0] != 0x0A:
        return None
    try:
        size, start = _varint(value, 1)
    except (IndexError, MalformedRequestError):
        return None
    return str(value[start : start + size], "utf-8", "replace")


def names_in(attributes: Mapping[str, Any]) -> Iterator[str]:
    """The names of attributes that are text. What is no UTF-8 is the name of nothing that anybody asks for.

    protobuf gives such a name out as bytes, or raises for it (upb of 6 and 7).
    """
    names = iter(attributes)
    for _ in range(len(attributes)):
        try:
            name: object = next(names)
        except UnicodeDecodeError:
            continue
        except StopIteration:
            return
        if isinstance(name, str):
            yield name


class DecodedAttributes(Mapping[str, Any]):
    """The attributes of a span that was read, as a mapping of text and numbers."""

    __slots__ = ("_map",)

    def __init__(self, attributes: Any) -> None:
        self._map = attributes

    def __getitem__(self, key: str) -> Any:
        if key not in self._map:  # asking for it would put it there
            raise KeyError(key)
        return decoded(self._map[key])

    def __contains__(self, key: object) -> bool:
        return key in self._map

    def __iter__(self) -> Iterator[str]:
        return names_in(self._map)

    def __len__(self) -> int:
        return sum(1 for _ in names_in(self._map))


def varint(value: int) -> bytes:
    """A number of at least 0 in protobuf's encoding."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def encoded(attributes: Mapping[str, Any]) -> bytes:
    """Attributes as fields of a span, to be appended to its bytes."""
    return b"".join([attribute(key, value) for key, value in attributes.items()])


def attribute(key: str, value: Any) -> bytes:
    """One attribute as a field of a span."""
    encoded_value = _any_value(value)
    body = _head(key) + varint(len(encoded_value)) + encoded_value
    return b"\x4a" + varint(len(body)) + body


def text_head(key: str) -> bytes:
    """What begins an attribute whose value is text; for `text`."""
    return _head(key)


def text(head: bytes, value: str) -> bytes:
    """An attribute whose value is text."""
    try:
        found = value.encode()
    except UnicodeEncodeError:
        found = value.encode("utf-8", "backslashreplace")
    size = len(found)
    if size < 0x70 and len(head) + size < 0x78:  # every length in one byte
        return b"\x4a%c%b%c\x0a%c%b" % (len(head) + size + 3, head, size + 2, size, found)
    inner = b"\x0a" + varint(size) + found
    body = head + varint(len(inner)) + inner
    return b"\x4a" + varint(len(body)) + body


def int_heads(key: str) -> tuple[bytes, ...]:
    """What begins an attribute whose value is a number, by the length of the number's encoding."""
    head = _head(key)
    return tuple(b"\x4a" + varint(len(head) + 2 + size) + head + bytes((size + 1, 0x18)) for size in range(11))


@remembered(4096)
def _head(key: str) -> bytes:
    name = key.encode()
    return b"\x0a" + varint(len(name)) + name + b"\x12"


def _any_value(value: Any) -> bytes:
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace")
        return b"\x0a" + varint(len(text)) + text
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, float):
        return b"\x21" + _double.pack(value)
    items = b"".join([b"\x0a" + varint(len(one)) + one for one in map(_any_value, value)])
    return b"\x2a" + varint(len(items)) + items


def count_spans(data: bytes) -> int:
    """Spans in a request."""
    return sum([len(scope.spans) for resource in read_request(data) for scope in resource.scopes])


def check_envelope(data: bytes) -> None:
    """Raise `MalformedRequestError` for bytes that are no message of protobuf, as far as its outermost fields tell."""
    position, end, parts = 0, len(data), 0
    try:
        while position < end:
            _, kind, inner = _tag(data, position)
            _, position = _content(data, kind, inner, end)
            parts += 1
            if parts > MOST_PARTS:
                raise MalformedRequestError("more resources than a request may have")
    except IndexError:
        raise MalformedRequestError("the request ends in the middle of a field") from None


def wrapped(span: bytes) -> bytes:
    """The bytes of one span as a whole request."""
    scope = b"\x12" + varint(len(span)) + span
    resource = b"\x12" + varint(len(scope)) + scope
    return b"\x0a" + varint(len(resource)) + resource


def halves(data: bytes) -> list[bytes]:
    """A request as two, each with half of its spans; nothing for one that has but one span."""
    total = count_spans(data)
    if total < 2:
        return []
    made = []
    for kept in (range(total // 2), range(total // 2, total)):
        resources, number = read_request(data), 0
        for resource in resources:
            for scope in resource.scopes:
                for place in scope.spans:
                    if number not in kept:
                        scope.edits.append(Edit(*place, None))
                    number += 1
        made.append(spliced(data, resources))
    return made


def without(span: bytes, keys: Collection[str]) -> bytes:
    """A span without the attributes of these names."""
    pieces: list[bytes] = []
    position, end = 0, len(span)
    while position < end:
        begin = position
        number, kind, header = _tag(span, position)
        start, position = _content(span, kind, header, end)
        if number == 9 and kind == _LEN and KeyOf.FromString(span[start:position]).key.decode(errors="replace") in keys:
            continue
        pieces.append(span[begin:position])
    return b"".join(pieces)


def plain_attributes(message: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a message of opentelemetry-proto as plain values: text, numbers, and lists of text."""
    for pair in message.attributes if message is not None else ():
        kind = pair.value.WhichOneof("value")
        if kind == "array_value":
            yield pair.key, [one.string_value for one in pair.value.array_value.values]
        elif kind in _PLAIN:
            yield pair.key, getattr(pair.value, kind)
