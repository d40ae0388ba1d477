"""Amazon Bedrock through `botocore` and so `boto3`. Read in botocore 1.35 and 1.44 (`client.py`, `endpoint.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aicost.integrations._call_request import CallRequest
from aicost.integrations._content import LazyBody
from aicost.integrations._hosts import served_at
from aicost.integrations._instrumentor import Method, PackageInstrumentor
from aicost.telemetry.call import Target
from aicost.usage.bedrock import COUNT_HEADERS
from aicost.usage.providers import normal_region
from aicost.usage.reading import Raw

_OPERATIONS = {
    "Converse": ("chat", "converse"),
    "ConverseStream": ("chat", "converse"),
    "InvokeModel": ("chat", "invoke_model"),
    "InvokeModelWithResponseStream": ("chat", "invoke_model"),
}
_JOBS = {
    ("bedrock", "CreateModelInvocationJob"): "batch",
    ("bedrock", "CreateModelCustomizationJob"): "fine_tuning",
    ("bedrock-runtime", "StartAsyncInvoke"): "videos",
}
"""Work that is given here and done later, by service and operation; nothing says here what it used."""


def _call_request(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallRequest | None:
    operation = kwargs["operation_name"] if "operation_name" in kwargs else args[0]
    service = instance.meta.service_model.service_name
    known, job = _OPERATIONS.get(operation), _JOBS.get((service, operation))
    if job is None and (known is None or service != "bedrock-runtime"):
        return None
    parameters = kwargs["api_params"] if "api_params" in kwargs else args[1]
    url = urlsplit(instance.meta.endpoint_url)
    model = model_of(str(parameters.get("modelId") or parameters.get("baseModelIdentifier") or "unknown"))
    if known is None or job is not None:
        target = Target("aws.bedrock", "generate_content", job or "batch", model, **served_at(url))
        return CallRequest(target, body=parameters, recorded=False)
    name, api = known
    target = Target(
        provider="aws.bedrock",
        operation="embeddings" if "embed" in model else name,
        api=api,
        model=model,
        **served_at(url),
        streaming=operation.endswith("Stream"),
        region=normal_region(instance.meta.region_name, "aws.bedrock", model),
    )
    # Read from the bytes: what botocore makes of them leaves out the fields its service model does not know yet.
    return CallRequest(target, body=_body(parameters), count_headers=COUNT_HEADERS if api == "invoke_model" else ())


def _body(parameters: Mapping[str, Any]) -> Raw | None:
    """What was asked: converse has it in its parameters, invoke_model in a body of bytes or text."""
    body = parameters.get("body")
    return parameters if body is None else LazyBody(body)


def model_of(model_id: str) -> str:
    """The model in a model id: of an ARN that names one, its last part.

    >>> model_of("arn:aws:bedrock:us-east-1:1234:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    'us.anthropic.claude-sonnet-4-5-20250929-v1:0'
    """
    if model_id.startswith("arn:") and "/" in model_id:
        return model_id.partition("/")[2]
    return model_id


class BedrockInstrumentor(PackageInstrumentor):
    """Instruments every `bedrock-runtime` client of botocore and boto3, those that exist already included."""

    name = "botocore"
    requires = "botocore >= 1.35, < 2"
    methods = (Method("botocore.client", "BaseClient._make_api_call", _call_request),)
