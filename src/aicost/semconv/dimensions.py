"""Dimensions of cost. Generated from semconv/ by semconv/generate.py: change the registry, not this file."""

from typing import Final, Literal, NamedTuple, TypedDict


class Dimension(NamedTuple):
    """What costs can be told apart by: whose they are, and where the process runs."""

    key: str
    """What an attribution, a setting and a column of the ledger are called: `tenant_id`."""
    attribute: str
    """The attribute of a span or resource that says it: `aicost.tenant.id`."""
    name: str
    """What `--by`, filters and options say: `tenant`."""
    source: Literal["owner", "subject", "resource"]
    """`owner`: given by the application, or by its resource; `subject`: the same, and it names a person or a
    conversation: of many values, and to be forgotten on demand; `resource`: of the process's resource alone."""
    brief: str
    others: tuple[str, ...] = ()
    """Attributes that say the same where `attribute` is not there; the first that is counts."""


DIMENSIONS: Final[tuple[Dimension, ...]] = (
    Dimension(
        "tenant_id",
        "aicost.tenant.id",
        "tenant",
        "owner",
        "The tenant on whose behalf the work is done.",
    ),
    Dimension(
        "customer_id",
        "aicost.customer.id",
        "customer",
        "owner",
        "The customer on whose behalf the work is done; a tenant may have several.",
    ),
    Dimension(
        "feature_id",
        "aicost.feature.id",
        "feature",
        "owner",
        "The product feature the work serves.",
    ),
    Dimension(
        "product",
        "aicost.product",
        "product",
        "owner",
        "The product the work belongs to.",
    ),
    Dimension(
        "team",
        "aicost.team",
        "team",
        "owner",
        "The team that owns the work.",
    ),
    Dimension(
        "business_unit",
        "aicost.business_unit",
        "business_unit",
        "owner",
        "The business unit the team belongs to.",
    ),
    Dimension(
        "cost_center",
        "aicost.cost_center",
        "cost_center",
        "owner",
        "The cost centre the work is charged to.",
    ),
    Dimension(
        "plan_tier",
        "aicost.plan_tier",
        "plan_tier",
        "owner",
        "The commercial plan of the tenant or customer.",
    ),
    Dimension(
        "phase",
        "aicost.phase",
        "phase",
        "owner",
        "The phase of its life that the work is in: research, development, production.",
    ),
    Dimension(
        "project_id",
        "aicost.project.id",
        "project",
        "owner",
        "The project the work belongs to.",
    ),
    Dimension(
        "forecast_category",
        "aicost.forecast_category",
        "forecast_category",
        "owner",
        "The line of the forecast the work is planned under.",
    ),
    Dimension(
        "service",
        "service.name",
        "service",
        "owner",
        "The service that made the call.",
    ),
    Dimension(
        "environment",
        "deployment.environment.name",
        "environment",
        "owner",
        "The environment: production, staging, a developer's.",
    ),
    Dimension(
        "session_id",
        "session.id",
        "session",
        "subject",
        "The session; an opaque id.",
    ),
    Dimension(
        "user_id",
        "user.id",
        "user",
        "subject",
        "The user; an opaque id.",
    ),
    Dimension(
        "conversation_id",
        "gen_ai.conversation.id",
        "conversation",
        "subject",
        "The conversation, or thread; an opaque id.",
    ),
    Dimension(
        "cloud_provider",
        "cloud.provider",
        "cloud_provider",
        "resource",
        "The cloud the process runs in.",
    ),
    Dimension(
        "cloud_account",
        "cloud.account.id",
        "cloud_account",
        "resource",
        "The account, project or subscription of the cloud that it runs in.",
    ),
    Dimension(
        "cloud_region",
        "cloud.region",
        "cloud_region",
        "resource",
        "The region of the cloud that it runs in.",
    ),
    Dimension(
        "k8s_cluster",
        "k8s.cluster.name",
        "k8s_cluster",
        "resource",
        "The Kubernetes cluster it runs in.",
    ),
    Dimension(
        "k8s_namespace",
        "k8s.namespace.name",
        "k8s_namespace",
        "resource",
        "The namespace it runs in.",
    ),
    Dimension(
        "k8s_workload",
        "k8s.deployment.name",
        "k8s_workload",
        "resource",
        "The workload it is of: a deployment, stateful set, daemon set, cron job or job.",
        ("k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name"),
    ),
    Dimension(
        "host_type",
        "host.type",
        "host_type",
        "resource",
        "The type of machine it runs on.",
    ),
)
"""Owners, then subjects, then what is of the resource."""

OWNERS: Final = tuple(dimension for dimension in DIMENSIONS if dimension.source != "resource")
"""What an application may say of its work: the keys of an attribution. Any other key is a label."""

RESOURCE: Final = tuple(dimension for dimension in DIMENSIONS if dimension.source == "resource")
"""What the process's resource says of all that it does."""

BY_NAME: Final = {dimension.name: dimension for dimension in DIMENSIONS}
BY_KEY: Final = {dimension.key: dimension for dimension in DIMENSIONS}

LABEL: Final = "label:"
"""What the key of a label begins with in an attribution, and its name in `--by`."""

MetricOwner = Literal[
    "tenant_id",
    "customer_id",
    "feature_id",
    "product",
    "team",
    "business_unit",
    "cost_center",
    "plan_tier",
    "phase",
    "project_id",
    "forecast_category",
    "service",
    "environment",
]
"""Owners that may be attributes of metrics: there are few of each."""

METRIC_OWNERS: Final[tuple[MetricOwner, ...]] = (
    "feature_id",
    "team",
)
"""Those that are, unless the settings say otherwise."""


class Owners(TypedDict, total=False):
    """The owners that a scope may be given, each any value that makes an id, or None to leave it as it is."""

    tenant_id: object | None
    """The tenant on whose behalf the work is done."""
    customer_id: object | None
    """The customer on whose behalf the work is done; a tenant may have several."""
    feature_id: object | None
    """The product feature the work serves."""
    product: object | None
    """The product the work belongs to."""
    team: object | None
    """The team that owns the work."""
    business_unit: object | None
    """The business unit the team belongs to."""
    cost_center: object | None
    """The cost centre the work is charged to."""
    plan_tier: object | None
    """The commercial plan of the tenant or customer."""
    phase: object | None
    """The phase of its life that the work is in: research, development, production."""
    project_id: object | None
    """The project the work belongs to."""
    forecast_category: object | None
    """The line of the forecast the work is planned under."""
    service: object | None
    """The service that made the call."""
    environment: object | None
    """The environment: production, staging, a developer's."""
    session_id: object | None
    """The session; an opaque id."""
    user_id: object | None
    """The user; an opaque id."""
    conversation_id: object | None
    """The conversation, or thread; an opaque id."""
