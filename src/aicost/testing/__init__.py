"""For your own tests: a provider emulator with a true bill, an OTLP receiver, and a check of emitted telemetry."""

from .conformance import Violation, assert_conforms, check_metrics, check_spans
from .emulator import Drop, Fail, Hang, ProviderEmulator, Reply, Stall, ToolCall
from .receiver import OtlpReceiver, attributes_of

__all__ = [
    "Drop",
    "Fail",
    "Hang",
    "OtlpReceiver",
    "ProviderEmulator",
    "Reply",
    "Stall",
    "ToolCall",
    "Violation",
    "assert_conforms",
    "attributes_of",
    "check_metrics",
    "check_spans",
]
