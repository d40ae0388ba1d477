"""A provider emulator: real HTTP on loopback, the providers' wire formats, and the true bill."""

from .bill import Bill, BilledCall
from .script import Action, Drop, Fail, Hang, Reply, Rule, Stall, ToolCall
from .server import ProviderEmulator, ReceivedRequest

__all__ = [
    "Action",
    "Bill",
    "BilledCall",
    "Drop",
    "Fail",
    "Hang",
    "ProviderEmulator",
    "ReceivedRequest",
    "Reply",
    "Rule",
    "Stall",
    "ToolCall",
]
