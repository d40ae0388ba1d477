"""Metrics. Generated from semconv/ by semconv/generate.py: change the registry, not this file."""

from typing import Final, NamedTuple


class Metric(NamedTuple):
    """A metric's name, unit (UCUM) and description."""

    name: str
    unit: str
    description: str


AICOST_COST: Final = Metric(
    "aicost.cost",
    "USD",
    "Money charged, in the currency that aicost.cost.currency names.",
)
AICOST_USAGE: Final = Metric(
    "aicost.usage",
    "{unit}",
    "Quantities used, by meter.",
)
AICOST_REQUEST_COST: Final = Metric(
    "aicost.request.cost",
    "USD",
    "What one call to a model costs.",
)
AICOST_REQUEST_ATTEMPTS: Final = Metric(
    "aicost.request.attempts",
    "{attempt}",
    "Requests sent, retries included.",
)
AICOST_REQUEST_RETRIES: Final = Metric(
    "aicost.request.retries",
    "{retry}",
    "Attempts that failed and were tried again.",
)
AICOST_REQUESTS_UNPRICED: Final = Metric(
    "aicost.requests.unpriced",
    "{request}",
    "Billed attempts whose amount is unknown or known only in part.",
)
AICOST_REQUESTS_POSSIBLY_BILLED: Final = Metric(
    "aicost.requests.possibly_billed",
    "{request}",
    "Attempts the provider may have billed although their usage never came back.",
)
AICOST_USAGE_UNKNOWN_FIELDS: Final = Metric(
    "aicost.usage.unknown_fields",
    "{field}",
    "Fields in providers' usage objects that this version does not know, which may hold something billed.",
)
AICOST_INTERNAL_ERRORS: Final = Metric(
    "aicost.internal.errors",
    "{error}",
    "Failures of aicost itself. The application never sees them.",
)
AICOST_LEDGER_LOST: Final = Metric(
    "aicost.ledger.lost",
    "{charge}",
    "Charges the journal could not take: it was full, or unwritable. They are in the other metrics and the spans.",
)
GEN_AI_CLIENT_TOKEN_USAGE: Final = Metric(
    "gen_ai.client.token.usage",
    "{token}",
    "Tokens per call, input and output.",
)
DB_CLIENT_OPERATION_DURATION: Final = Metric(
    "db.client.operation.duration",
    "s",
    "Duration of an operation of a database.",
)
GEN_AI_CLIENT_OPERATION_DURATION: Final = Metric(
    "gen_ai.client.operation.duration",
    "s",
    "Duration of a call, retries included.",
)
