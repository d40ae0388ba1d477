from typing import NamedTuple


class Metric(NamedTuple):
    name: str
    unit: str
    description: str


AICOST_COST = Metric("aicost.cost", "USD", "x")
AICOST_USAGE = Metric("aicost.usage", "{unit}", "x")
AICOST_REQUEST_ATTEMPTS = Metric("aicost.request.attempts", "{attempt}", "x")
AICOST_REQUEST_RETRIES = Metric("aicost.request.retries", "{retry}", "x")
AICOST_REQUESTS_UNPRICED = Metric("aicost.requests.unpriced", "{request}", "x")
AICOST_REQUESTS_POSSIBLY_BILLED = Metric("aicost.requests.possibly_billed", "{request}", "x")
AICOST_INTERNAL_ERRORS = Metric("aicost.internal.errors", "{error}", "x")
AICOST_LEDGER_LOST = Metric("aicost.ledger.lost", "{charge}", "x")
GEN_AI_CLIENT_TOKEN_USAGE = Metric("gen_ai.client.token.usage", "{token}", "x")
GEN_AI_CLIENT_OPERATION_DURATION = Metric("gen_ai.client.operation.duration", "s", "x")
