"""An OpenTelemetry SDK in a forked child: free of its parent's locks, and of what its parent has counted with us.

The SDK (read in opentelemetry-sdk 1.45.1) starts its threads again in a child, but not the locks that threads of its
parent held: recording hangs if one was recording or collecting. And it goes on with its parent's sums, under its
parent's `service.instance.id`, so that a backend adds them twice or takes two processes for one.
"""

from __future__ import annotations

import _thread
import uuid
from typing import Any

from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from aicost._forks import free, lock

from . import guard

_LOCKS: tuple[type, ...] = (_thread.LockType, type(lock()))
_CONTAINERS = (list, tuple, set, frozenset)


def begin_anew(provider: object, scope: str) -> None:
    """In a forked child: free the locks of a meter provider, and set its instruments of `scope` to zero.

    Does nothing with a provider that is not the SDK's.
    """
    try:
        consumer = getattr(provider, "_measurement_consumer", None)
        if consumer is None:
            return
        for storage in consumer._reader_storages.values():
            matches = storage._instrument_view_instrument_matches
            for instrument in [i for i in matches if i.instrumentation_scope.name == scope]:
                del matches[instrument]
        _draw_instance(consumer._sdk_config)
        _free_all(provider)
    except Exception as error:  # noqa: BLE001 - the child is the application's
        guard.failed("begin metrics anew in a forked child", error)


def _draw_instance(config: Any) -> None:
    """Another instance id, where its parent's was drawn and not chosen."""
    inherited = config.resource.attributes.get(SERVICE_INSTANCE_ID)
    try:
        drawn = uuid.UUID(str(inherited)).version == uuid.uuid4().version
    except ValueError:
        return
    if drawn:
        config.resource = config.resource.merge(Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())}))


def _free_all(root: object) -> None:
    """Free each lock that is held by an object of OpenTelemetry's within reach of this one."""
    seen: set[int] = set()
    reached = [root]
    while reached:
        thing: Any = reached.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, _LOCKS):
            free(thing)
        elif isinstance(thing, dict):
            reached += [*thing, *thing.values()]
        elif isinstance(thing, _CONTAINERS):
            reached += thing
        elif type(thing).__module__.startswith("opentelemetry.") and hasattr(thing, "__dict__"):
            reached += vars(thing).values()
