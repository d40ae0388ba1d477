"""What the instrumentors of all packages share: OpenTelemetry's own interface, done once."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, ClassVar

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from aicost.telemetry.state import PipelineSource, Source

from ._calls import Asking, CallKind, hook
from ._ending import finish_at_end
from ._hosts import name_hosts
from ._transports import transports

_log = logging.getLogger("aicost")


@dataclass(frozen=True, slots=True)
class Method:
    """A client's method that makes calls: the module it is in, its dotted path there, and what reads its arguments."""

    module: str
    path: str
    asking: Asking | None = None
    kind: CallKind = "call"
    is_async: bool | None = None
    """Unset: whatever the method itself is."""
    optional: bool = False
    """Not in every version that is supported."""
    wrapper: Callable[[Source], Callable[..., Any]] | None = None
    """For a method that is no call: what makes the wrapper."""


Undo = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Extension:
    """What a package offers for extending it: `attach` uses it when the module is imported, and says how to undo it."""

    module: str
    attach: Callable[[ModuleType, Source], Undo]


class PackageInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # upstream's names are not typed
    """Follows one package. Subclasses say which of its methods make calls, what it offers for extending it, and which
    versions were tested.

    The package is not imported for this: it is wrapped when the application imports it, or at once if it has. A
    version in which a method is not where it was is left alone, with one warning.
    """

    name: ClassVar[str]
    """The package, as it is installed and as `aicost.instrument` takes it."""
    requires: ClassVar[str]
    methods: ClassVar[Sequence[Method]] = ()
    extensions: ClassVar[Sequence[Extension]] = ()

    _source: PipelineSource | None = None
    _undo: list[Undo]
    _registered: frozenset[str] = frozenset()
    broken = False
    """Whether the version that is installed is laid out differently, and is left alone."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """The package and the versions this wrapper was tested with."""
        return (self.requires,)

    def _instrument(self, **kwargs: Any) -> None:
        self._source = PipelineSource()
        self.follow(**kwargs)
        self._undo = []
        self.broken = False
        transports.use(self.name)
        finish_at_end()
        modules = frozenset([*(m.module for m in self.methods), *(e.module for e in self.extensions)])
        if self._registered:
            self._wrap_what_is_imported()
            return
        self._registered = modules
        for module in sorted(modules):
            wrapt.register_post_import_hook(partial(self._imported, module), module)

    def follow(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        **_: Any,
    ) -> None:
        """Record with these providers, or with those of the process, from the next call on."""
        assert self._source is not None  # noqa: S101 - narrowing: it is on
        self._source.use(tracer_provider, meter_provider)
        name_hosts(self._source().options.provider_hosts)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the signature is upstream's
        self._source = None
        for undo in reversed(self._undo):
            undo()
        self._undo = []
        transports.leave(self.name)

    def _wrap_what_is_imported(self) -> None:
        import sys

        for module in sorted(self._registered):
            if module in sys.modules:
                self._imported(module, sys.modules[module])

    def _imported(self, name: str, module: ModuleType) -> None:
        # By the name it is imported under: what a module says of its own name need not be true (crewai's is not).
        if self._source is None:
            return
        try:
            self._undo += self._wrap(name, module, self._source)
            for extension in self.extensions:
                if extension.module == name:
                    self._undo.append(extension.attach(module, self._source))
        except Exception as error:  # noqa: BLE001 - a client that moved something must not stop the application
            _log.warning("%s is not instrumented: this version is laid out differently (%r)", self.name, error)
            self.broken = True
            self._uninstrument()

    def _wrap(self, imported: str, module: ModuleType, source: Source) -> list[Undo]:
        """Patch a module of the client; all of its methods are there, or none is touched."""
        found = []
        for method in self.methods:
            if method.module != imported:
                continue
            *owners, name = method.path.split(".")
            owner: Any = module
            try:
                for part in owners:
                    owner = getattr(owner, part)
                target = getattr(owner, name)
            except AttributeError:
                if method.optional:
                    continue
                raise
            wrapper = _wrapper(method, target, source)
            found += [(each, name, wrapper) for each in (owner, *_patched_below(owner, name))]
        for owner, name, wrapper in found:
            wrapt.wrap_function_wrapper(owner, name, wrapper)
        return [partial(unwrap, owner, name) for owner, name, _ in found]


def _patched_below(owner: Any, name: str) -> list[type]:
    """Subclasses on which another vendor has wrapped the method already: what they kept passes the owner by."""
    if not isinstance(owner, type):
        return []
    found: list[type] = []
    subclasses: list[type] = type.__subclasses__(owner)
    for below in subclasses:
        if hasattr(vars(below).get(name), "__wrapped__"):
            found.append(below)
        found += _patched_below(below, name)
    return found


def _wrapper(method: Method, target: Any, source: Source) -> Callable[..., Any]:
    if method.wrapper is not None:
        return method.wrapper(source)
    assert method.asking is not None  # noqa: S101 - narrowing: a method is one or the other
    is_async = inspect.iscoroutinefunction(target) if method.is_async is None else method.is_async
    return hook(method.asking, source, kind=method.kind, is_async=is_async)
