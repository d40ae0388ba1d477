"""The collector: OTLP in, priced, OTLP out.

`aicost collector` runs it as a service; `price_request` and `PricingExporter` are the same as a library.
"""

from __future__ import annotations

from .pricer import price_request
from .pricing_exporter import PricingExporter

__all__ = ["PricingExporter", "price_request"]
