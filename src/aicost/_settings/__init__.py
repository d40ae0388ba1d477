"""Every setting in one model: arguments, then `AICOST_*` variables, then `aicost.toml`, then its defaults.

`load()` is called once where a process, a collector or a command starts, and what it gives is passed on. Nothing else
reads the environment: a test sees to it, and names what passes it on. The other `OTEL_*` variables are read by the
OpenTelemetry SDK itself.
"""

from .model import Settings
from .precedence import SettingsPlace, id_key, load
from .surroundings import Surroundings

__all__ = ["SettingsPlace", "Settings", "Surroundings", "id_key", "load"]
