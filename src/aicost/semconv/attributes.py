"""Attribute names. Generated from semconv/ by semconv/generate.py: change the registry, not this file."""

from typing import Final

AICOST_BEGINS: Final = "aicost.begins"
"""What a span of another instrumentation begins, where it is taken for more than a part of what is around it."""

AICOST_BUSINESS_UNIT: Final = "aicost.business_unit"
"""The business unit the team belongs to."""

AICOST_COST_AMOUNT: Final = "aicost.cost.amount"
"""The amount, for arithmetic and charts. The exact one is `aicost.cost.amount_exact`."""

AICOST_COST_AMOUNT_EXACT: Final = "aicost.cost.amount_exact"
"""The exact amount as a decimal string."""

AICOST_COST_CACHE_READ: Final = "aicost.cost.cache_read"
"""The part for input read from a cache."""

AICOST_COST_CACHE_WRITE: Final = "aicost.cost.cache_write"
"""The part for input written to a cache."""

AICOST_COST_COMPUTED_AMOUNT: Final = "aicost.cost.computed_amount"
"""What the rate card says, where the provider reported an amount of its own."""

AICOST_COST_CURRENCY: Final = "aicost.cost.currency"
"""ISO 4217 code of the amount's currency."""

AICOST_COST_INPUT: Final = "aicost.cost.input"
"""The part for uncached input."""

AICOST_COST_OTHER: Final = "aicost.cost.other"
"""The part for everything else."""

AICOST_COST_OUTPUT: Final = "aicost.cost.output"
"""The part for output other than reasoning."""

AICOST_COST_RATE_CARD: Final = "aicost.cost.rate_card"
"""The rate card that priced it, as id@version."""

AICOST_COST_RATE_IDS: Final = "aicost.cost.rate_ids"
"""The rates that apply, one per priced line."""

AICOST_COST_REASON: Final = "aicost.cost.reason"
"""Why the amount is not simply `priced`."""

AICOST_COST_REASONING: Final = "aicost.cost.reasoning"
"""The part for reasoning."""

AICOST_COST_STATUS: Final = "aicost.cost.status"
"""What is known of the amount."""

AICOST_COST_TOOL: Final = "aicost.cost.tool"
"""The part for tool fees."""

AICOST_COST_CENTER: Final = "aicost.cost_center"
"""The cost centre the work is charged to."""

AICOST_COVERED_BY: Final = "aicost.covered.by"
"""The event that counts the inference, where it is known by then."""

AICOST_COVERED_REASON: Final = "aicost.covered.reason"
"""Why a view of an inference carries no amount: the same inference is counted elsewhere, once."""

AICOST_CUSTOMER_ID: Final = "aicost.customer.id"
"""The customer on whose behalf the work is done; a tenant may have several."""

AICOST_EVENT_ID: Final = "aicost.event.id"
"""The identity of one attempt, minted when it is made; the ledger's key. Believed on aicost's own spans only."""

AICOST_EVENT_UPSTREAM_ID: Final = "aicost.event.upstream_id"
"""The attempt of a caller in another process, its event id or `gateway:` and a call id, that this is the work of."""

AICOST_FALLBACK_OF: Final = "aicost.fallback_of"
"""The event of the failed call to another model or provider that the application followed with this one."""

AICOST_FEATURE_ID: Final = "aicost.feature.id"
"""The product feature the work serves."""

AICOST_FORECAST_CATEGORY: Final = "aicost.forecast_category"
"""The line of the forecast the work is planned under."""

AICOST_GATEWAY_CALL_ID: Final = "aicost.gateway.call_id"
"""The id that a gateway on the way gave the call."""

AICOST_GATEWAY_DECLARED: Final = "aicost.gateway.declared"
"""Whether the application has declared the host a gateway, so that its call id is proof of one call."""

AICOST_HANDOFF_FROM: Final = "aicost.handoff.from"
"""The agent that handed the work over to this one."""

AICOST_LABEL: Final = "aicost.label"
"""A label by its key: an owner that this registry does not have."""

AICOST_METER: Final = "aicost.meter"
"""The meter a metric counts."""

AICOST_OUTCOME_COUNT: Final = "aicost.outcome.count"
"""How many of them."""

AICOST_OUTCOME_ID: Final = "aicost.outcome.id"
"""What tells it from every other outcome; of one idempotency key, always the same."""

AICOST_OUTCOME_NAME: Final = "aicost.outcome.name"
"""The unit of value delivered."""

AICOST_OUTCOME_UNIT: Final = "aicost.outcome.unit"
"""What the value is counted in: a currency, or any word."""

AICOST_OUTCOME_VALUE: Final = "aicost.outcome.value"
"""What all of them are worth together, a decimal string in `aicost.outcome.unit`."""

AICOST_PHASE: Final = "aicost.phase"
"""The phase of its life that the work is in: research, development, production."""

AICOST_PLAN_TIER: Final = "aicost.plan_tier"
"""The commercial plan of the tenant or customer."""

AICOST_PRODUCT: Final = "aicost.product"
"""The product the work belongs to."""

AICOST_PROJECT_ID: Final = "aicost.project.id"
"""The project the work belongs to."""

AICOST_PROVIDER_CREDENTIAL: Final = "aicost.provider.credential"
"""A keyed digest of the API key; never the key."""

AICOST_PROVIDER_ORGANIZATION: Final = "aicost.provider.organization"
"""The provider's organisation, workspace or account that is billed."""

AICOST_PROVIDER_PROJECT: Final = "aicost.provider.project"
"""The provider's project that is billed."""

AICOST_PROVIDER_REQUEST_ID: Final = "aicost.provider.request_id"
"""The provider's id of the request, from its headers."""

AICOST_REQUEST_ATTEMPT: Final = "aicost.request.attempt"
"""The number of the attempt, from 1."""

AICOST_REQUEST_BACKOFF: Final = "aicost.request.backoff"
"""Seconds the client waits after the attempt before the next."""

AICOST_REQUEST_BILLED: Final = "aicost.request.billed"
"""Whether the provider charges for it, as far as the caller can know."""

AICOST_REQUEST_POSSIBLY_BILLED_ATTEMPTS: Final = "aicost.request.possibly_billed_attempts"
"""Attempts of the call that the provider may have billed unseen."""

AICOST_REQUEST_RETRY_COUNT: Final = "aicost.request.retry_count"
"""Attempts of the call that came before its last one."""

AICOST_REQUEST_STATUS: Final = "aicost.request.status"
"""How a call, or one attempt of it, ended."""

AICOST_RESPONSE_REGION: Final = "aicost.response.region"
"""The region that served the request, where the provider prices by it."""

AICOST_RESPONSE_SERVICE_TIER: Final = "aicost.response.service_tier"
"""The service tier that served the request, unless the provider's default one."""

AICOST_RESPONSE_SPEED: Final = "aicost.response.speed"
"""The speed mode that served the request, unless the standard one."""

AICOST_RETRY_OF: Final = "aicost.retry_of"
"""The event of the failed call to the same model that the application followed with this one."""

AICOST_RUN_ID: Final = "aicost.run.id"
"""One execution of a workflow. Outside any run scope, the trace id."""

AICOST_RUN_IMPLICIT: Final = "aicost.run.implicit"
"""Whether nobody opened a run and the trace stands in for one."""

AICOST_RUN_PARENT_ID: Final = "aicost.run.parent_id"
"""The run in which this run was started."""

AICOST_RUN_PARENT_STEP_ID: Final = "aicost.run.parent_step_id"
"""The step in which this run was started."""

AICOST_RUN_ROOT_ID: Final = "aicost.run.root_id"
"""The outermost run this run is part of; the run itself if there is none."""

AICOST_STEP_ID: Final = "aicost.step.id"
"""One execution of a step."""

AICOST_STEP_NAME: Final = "aicost.step.name"
"""The named stage of the run. Outside any step, the operation."""

AICOST_STEP_PARENT_ID: Final = "aicost.step.parent_id"
"""The step in which this step was started. On the step's own span."""

AICOST_TEAM: Final = "aicost.team"
"""The team that owns the work."""

AICOST_TENANT_ID: Final = "aicost.tenant.id"
"""The tenant on whose behalf the work is done."""

AICOST_USAGE_COMPLETE: Final = "aicost.usage.complete"
"""Whether the usage is final; false for a stream that was cut."""

AICOST_USAGE_DIALECT: Final = "aicost.usage.dialect"
"""Which instrumentation's way of reporting usage it was read by, where aicost did not watch the call itself."""

AICOST_USAGE_FIELD: Final = "aicost.usage.field"
"""The name of a field in a provider's usage object."""

AICOST_USAGE_FLAGS: Final = "aicost.usage.flags"
"""What in the provider's usage is new, missing or contradicts itself."""

AICOST_USAGE_METER: Final = "aicost.usage.meter"
"""Quantity by meter, a whole number wherever it is one. Meters are disjoint: their sum counts nothing twice."""

AICOST_USAGE_SOURCE: Final = "aicost.usage.source"
"""Where the usage comes from."""

AICOST_VECTOR_DIMENSION: Final = "aicost.vector.dimension"
"""Numbers in a vector."""

AICOST_VECTOR_TOP_K: Final = "aicost.vector.top_k"
"""Neighbours asked for, of each query."""

AICOST_WORKFLOW_VERSION: Final = "aicost.workflow.version"
"""The version of the workflow, or of the step's code."""

CLOUD_ACCOUNT_ID: Final = "cloud.account.id"
"""The account, project or subscription of the cloud that it runs in."""

CLOUD_PROVIDER: Final = "cloud.provider"
"""The cloud the process runs in."""

CLOUD_REGION: Final = "cloud.region"
"""The region of the cloud that it runs in."""

DB_COLLECTION_NAME: Final = "db.collection.name"
"""The collection, table or index."""

DB_NAMESPACE: Final = "db.namespace"
"""The namespace, database or tenant the collection is in."""

DB_OPERATION_BATCH_SIZE: Final = "db.operation.batch.size"
"""Queries, or records, in one operation."""

DB_OPERATION_NAME: Final = "db.operation.name"
"""What was done in it."""

DB_RESPONSE_RETURNED_ROWS: Final = "db.response.returned_rows"
"""Records returned."""

DB_SYSTEM_NAME: Final = "db.system.name"
"""The database."""

DEPLOYMENT_ENVIRONMENT_NAME: Final = "deployment.environment.name"
"""The environment: production, staging, a developer's."""

ERROR_TYPE: Final = "error.type"
"""The class of error."""

GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
"""The agent."""

GEN_AI_AGENT_VERSION: Final = "gen_ai.agent.version"
"""The agent's version."""

GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
"""The conversation, or thread; an opaque id."""

GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
"""What was asked, as JSON, where recording content is on."""

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
"""The operation."""

GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
"""What was answered, as JSON, where recording content is on."""

GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
"""Who serves the model."""

GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
"""The model asked for."""

GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
"""Whether the response was asked for as a stream."""

GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
"""The provider's id of the response."""

GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
"""The model that answered."""

GEN_AI_SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
"""The system instructions, as JSON, where recording content is on."""

GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105
"""Whether tokens are input or output."""

GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
"""The call of the tool, as the model named it."""

GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
"""The tool."""

GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
"""Input tokens written to a cache."""

GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
"""Input tokens read from a cache."""

GEN_AI_USAGE_COST: Final = "gen_ai.usage.cost"
"""Not defined by OpenTelemetry: the flat cost name most tools read today."""

GEN_AI_USAGE_COST_AMOUNT: Final = "gen_ai.usage.cost.amount"
"""Proposed upstream: the amount."""

GEN_AI_USAGE_COST_CURRENCY: Final = "gen_ai.usage.cost.currency"
"""Proposed upstream: its currency."""

GEN_AI_USAGE_COST_SOURCE: Final = "gen_ai.usage.cost.source"
"""Proposed upstream: who computed it."""

GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""Input tokens, cached ones included."""

GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
"""Output tokens, reasoning included."""

GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
"""Output tokens used for reasoning."""

GEN_AI_WORKFLOW_NAME: Final = "gen_ai.workflow.name"
"""The workflow."""

HOST_TYPE: Final = "host.type"
"""The type of machine it runs on."""

HTTP_REQUEST_RESEND_COUNT: Final = "http.request.resend_count"
"""How often the request was sent again."""

HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
"""The HTTP status."""

K8S_CLUSTER_NAME: Final = "k8s.cluster.name"
"""The Kubernetes cluster it runs in."""

K8S_CRONJOB_NAME: Final = "k8s.cronjob.name"
"""The cron job it is of, whose jobs have a name of their own each."""

K8S_DAEMONSET_NAME: Final = "k8s.daemonset.name"
"""The daemon set it is of."""

K8S_DEPLOYMENT_NAME: Final = "k8s.deployment.name"
"""The workload it is of: a deployment, stateful set, daemon set, cron job or job."""

K8S_JOB_NAME: Final = "k8s.job.name"
"""The job it is of."""

K8S_NAMESPACE_NAME: Final = "k8s.namespace.name"
"""The namespace it runs in."""

K8S_STATEFULSET_NAME: Final = "k8s.statefulset.name"
"""The stateful set it is of."""

LLM_COST_COMPLETION: Final = "llm.cost.completion"
"""OpenInference: the part for output."""

LLM_COST_PROMPT: Final = "llm.cost.prompt"
"""OpenInference: the part for input."""

LLM_COST_TOTAL: Final = "llm.cost.total"
"""OpenInference: the total."""

OTEL_METRIC_OVERFLOW: Final = "otel.metric.overflow"
"""Marks the series that takes what no longer fits."""

SERVER_ADDRESS: Final = "server.address"
"""The host called."""

SERVER_PORT: Final = "server.port"
"""Its port."""

SERVICE_NAME: Final = "service.name"
"""The service that made the call."""

SESSION_ID: Final = "session.id"
"""The session; an opaque id."""

USER_ID: Final = "user.id"
"""The user; an opaque id."""
