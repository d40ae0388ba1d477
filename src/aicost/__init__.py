"""aicost: know what AI really costs.

import aicost

aicost.init(service_name="support-agent")

@aicost.track_workflow("renewal_risk_scoring")
def score(account): ...

with aicost.run_scope("renewals", tenant_id="t-42") as run:
    score(account)
    print(run.cost)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from ._errors import AicostError, CallRefused, ConfigError, LedgerError, RateCardError, UsageError
    from ._price import estimate, price
    from ._runtime import (
        Handle,
        current_run,
        flush,
        init,
        instrument,
        record_outcome,
        record_usage,
        shutdown,
        uninstrument,
    )
    from .pricing.card import RateCard
    from .pricing.charge import Charge, ChargeLine, ChargeStatus
    from .pricing.whatif import Scenario
    from .reports.repricing import compare, reprice
    from .scopes.propagation import extract, inject
    from .scopes.runs import Run
    from .scopes.tracking import attribution, run_scope, track_agent, track_step, track_tool, track_workflow
    from .usage.event import UsageEvent

__all__ = [
    "__version__",
    # set-up
    "init",
    "instrument",
    "uninstrument",
    "flush",
    "shutdown",
    "Handle",
    # who owns the work
    "attribution",
    "run_scope",
    "track_workflow",
    "track_step",
    "track_agent",
    "track_tool",
    "current_run",
    "Run",
    "inject",
    "extract",
    # money
    "price",
    "estimate",
    "reprice",
    "compare",
    "Scenario",
    "RateCard",
    "record_usage",
    "record_outcome",
    "Charge",
    "ChargeLine",
    "ChargeStatus",
    "UsageEvent",
    # errors
    "AicostError",
    "CallRefused",
    "ConfigError",
    "LedgerError",
    "RateCardError",
    "UsageError",
]

_HOME = {
    "_errors": ("AicostError", "CallRefused", "ConfigError", "LedgerError", "RateCardError", "UsageError"),
    "_price": ("estimate", "price"),
    "_runtime": (
        "Handle",
        "current_run",
        "flush",
        "init",
        "instrument",
        "record_outcome",
        "record_usage",
        "shutdown",
        "uninstrument",
    ),
    "scopes.propagation": ("extract", "inject"),
    "scopes.runs": ("Run",),
    "scopes.tracking": ("attribution", "run_scope", "track_agent", "track_step", "track_tool", "track_workflow"),
    "pricing.card": ("RateCard",),
    "pricing.charge": ("Charge", "ChargeLine", "ChargeStatus"),
    "pricing.whatif": ("Scenario",),
    "reports.repricing": ("compare", "reprice"),
    "usage.event": ("UsageEvent",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    # Lazy (PEP 562), so that `import aicost` costs next to nothing until something is used.
    module = _MODULE.get(name)
    if module is None:
        raise AttributeError(f"module 'aicost' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
