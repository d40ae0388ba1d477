"""Records what instrumentations really send: each runs in an environment of its own, against the emulator.

    python tests/tools/record.py openllmetry-openai     # one
    python tests/tools/record.py                        # all

A door (`doors/*.py`, `*.mjs`, or a folder with a `pom.xml`) sets the instrumentation up as its users do and asks the
questions of `QUESTIONS`. What it exports over OTLP/HTTP is written to `tests/collector/recordings/NAME.json`, as
OTLP/JSON beside the bill that the emulator kept. Needs `uv`; the JavaScript ones `npm`, the Java ones `mvn`.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from aicost.collector.otlp_json import to_json  # noqa: E402
from aicost.testing import Fail, ProviderEmulator, Reply, ToolCall  # noqa: E402

HERE = Path(__file__).parent
RECORDINGS = HERE.parent / "collector" / "recordings"
_MOST = 50

QUESTIONS: dict[str, list[Reply | Fail]] = {
    "plain question": [Reply(input_tokens=900, output_tokens=30)],
    "cached question": [Reply(input_tokens=2000, cached_tokens=1024, output_tokens=40)],
    "written question": [
        Reply(input_tokens=5000, cached_tokens=500, cache_write_5m=1000, cache_write_1h=700, output_tokens=50)
    ],
    "kept question": [Reply(input_tokens=3000, cached_tokens=500, cache_write_5m=1000, output_tokens=50)],
    "hard question": [Reply(input_tokens=100, output_tokens=500, reasoning_tokens=300)],
    "streamed question": [Reply(input_tokens=700, cached_tokens=256, output_tokens=90)],
    "bad question": [Fail(status=400)],
    "tool question": [
        Reply(tool_calls=(ToolCall("search", {"query": "the price of tea"}),), input_tokens=900, output_tokens=30),
        Reply(text="Tea is dear.", input_tokens=1200, cached_tokens=512, output_tokens=80, reasoning_tokens=32),
    ],
}
"""What a question with these words in it is answered with, each time anew. Doors ask those that fit their API:
`written` is Anthropic's, `kept` is for APIs that tell one kind of cache write only, `hard` is for models that reason,
`tool` is for agents, with a tool `search(query)`."""

_PRIVATE = ("process.", "host.", "os.", "exception.stacktrace", "code.file", "telemetry.distro", "service.instance.id")
"""What attributes about the machine that records begin with; they are left out."""

_NOWHERE_ELSE = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9"
    ),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
}
"""What leads the network of a door nowhere, save to the emulator."""


@dataclass(frozen=True)
class Recording:
    """One instrumentation. `packages` are what its environment needs, as `uv pip install` takes them.

    `.` is this product.
    """

    door: str
    packages: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """What the door is called with, where several recordings share one."""
    python: str = "3.11"


_OTLP = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
_LANGCHAIN = ("langchain", "langchain-openai", "langchain-anthropic", "langgraph")
_NODE = ("node@22", "@opentelemetry/sdk-trace-node@2", "@opentelemetry/exporter-trace-otlp-proto@<0.300")


def _vercel(ai: int, client: int, *more: str, integration: str = "") -> Recording:
    packages = (f"ai@{ai}", f"@ai-sdk/openai@{client}", f"@ai-sdk/anthropic@{client}", *more, *_NODE)
    return Recording("vercel_ai.mjs", packages, (integration,) if integration else ())


def _node_openai(package: str, instrumentor: str) -> Recording:
    return Recording("openai_client.mjs", (package, "openai@6", *_NODE), (package, instrumentor))


TABLE: dict[str, Recording] = {
    "upstream-openai": Recording(
        "openai_client.py",
        (*_OTLP, "opentelemetry-instrumentation-openai-v2>=2.4b0", "opentelemetry-util-genai<1.2b0", "openai<3"),
        ("upstream",),
    ),
    "upstream-openai-old": Recording(
        "openai_client.py",
        (*_OTLP, "opentelemetry-instrumentation-openai-v2==2.1b0", "opentelemetry-api<1.38", "openai<2"),
        ("upstream",),
    ),
    "anthropic-own": Recording("anthropic_client.py", (*_OTLP, "anthropic"), ("own",)),
    "openllmetry-openai": Recording(
        "openai_client.py", (*_OTLP, "opentelemetry-instrumentation-openai", "openai<3"), ("openllmetry",)
    ),
    "openllmetry-openai-old": Recording(
        "openai_client.py", (*_OTLP, "opentelemetry-instrumentation-openai==0.34.1", "openai<2"), ("openllmetry",)
    ),
    "openllmetry-anthropic": Recording(
        "anthropic_client.py", (*_OTLP, "opentelemetry-instrumentation-anthropic", "anthropic"), ("openllmetry",)
    ),
    "openllmetry-anthropic-old": Recording(
        "anthropic_client.py",
        (*_OTLP, "opentelemetry-instrumentation-anthropic==0.34.1", "anthropic<1"),
        ("openllmetry",),
    ),
    "openinference-openai": Recording(
        "openai_client.py", (*_OTLP, "openinference-instrumentation-openai", "openai<3"), ("openinference",)
    ),
    "openinference-anthropic": Recording(
        "anthropic_client.py", (*_OTLP, "openinference-instrumentation-anthropic", "anthropic"), ("openinference",)
    ),
    "openllmetry-anthropic-alone": Recording(
        "anthropic_client.py", (*_OTLP, "opentelemetry-instrumentation-anthropic", "anthropic<1"), ("openllmetry",)
    ),
    "openinference-anthropic-old": Recording(
        "anthropic_client.py",
        (*_OTLP, "openinference-instrumentation-anthropic<2", "anthropic<1"),
        ("openinference",),
    ),
    "pydantic-ai": Recording(
        "pydantic_ai_agent.py", (*_OTLP, "pydantic-ai-slim[openai,anthropic]", "openai", "anthropic"), ("6",)
    ),
    "pydantic-ai-v1": Recording(
        "pydantic_ai_agent.py", (*_OTLP, "pydantic-ai-slim[openai,anthropic]<2", "openai", "anthropic"), ("1",)
    ),
    "logfire": Recording("logfire_clients.py", (*_OTLP, "logfire", "openai<3", "anthropic")),
    "google-adk": Recording("google_adk_agent.py", (*_OTLP, "google-adk>=2", "google-genai")),
    "google-adk-v1.14": Recording("google_adk_agent.py", (*_OTLP, "google-adk==1.14.*", "google-genai")),
    "google-adk-v1": Recording("google_adk_agent.py", (*_OTLP, "google-adk>=1.25,<2", "google-genai")),
    "google-adk-both": Recording(
        "google_adk_agent.py",
        (*_OTLP, "google-adk>=2", "google-genai", "opentelemetry-instrumentation-google-genai>=1.0b0"),
        ("upstream",),
    ),
    "openinference-adk": Recording(
        "google_adk_agent.py",
        (*_OTLP, "google-adk>=2", "google-genai", "openinference-instrumentation-google-adk"),
        ("openinference",),
    ),
    "semantic-kernel": Recording(
        "semantic_kernel_agent.py", (*_OTLP, "semantic-kernel[anthropic]", "openai", "anthropic")
    ),
    "strands": Recording("strands_agent.py", (*_OTLP, "strands-agents[openai,anthropic]>=1", "openai", "anthropic")),
    "strands-v1.10": Recording(
        "strands_agent.py", (*_OTLP, "strands-agents[openai,anthropic]==1.10.*", "openai", "anthropic")
    ),
    "agent-framework": Recording(
        "agent_framework_agent.py", (*_OTLP, "agent-framework-core", "agent-framework-openai")
    ),
    "autogen": Recording("autogen_agent.py", (*_OTLP, "autogen-core", "autogen-agentchat", "autogen-ext[openai]")),
    "google-genai-upstream": Recording(
        "google_genai_client.py",
        (*_OTLP, "google-genai<3", "opentelemetry-instrumentation-google-genai>=1.0b0"),
        ("upstream",),
    ),
    "openinference-google-genai": Recording(
        "google_genai_client.py",
        (*_OTLP, "google-genai", "openinference-instrumentation-google-genai"),
        ("openinference",),
    ),
    "openllmetry-langchain": Recording(
        "langchain_agent.py",
        (*_OTLP, "opentelemetry-instrumentation-langchain", *_LANGCHAIN),
        ("openllmetry", "langchain"),
    ),
    "openlit-openai": Recording(
        "openai_client.py", (*_OTLP, "openlit", "opentelemetry-api<1.40", "openai<3"), ("openlit",)
    ),
    "openlit-anthropic": Recording(
        "anthropic_client.py", (*_OTLP, "openlit", "opentelemetry-api<1.40", "anthropic"), ("openlit",)
    ),
    "openinference-langchain": Recording(
        "langchain_agent.py",
        (*_OTLP, "openinference-instrumentation-langchain", *_LANGCHAIN),
        ("openinference", "langchain"),
    ),
    "openinference-both": Recording(
        "langchain_agent.py",
        (
            *_OTLP,
            "openinference-instrumentation-langchain",
            "openinference-instrumentation-openai",
            "openinference-instrumentation-anthropic",
            *_LANGCHAIN,
        ),
        ("openinference", "langchain", "openai", "anthropic"),
    ),
    "litellm": Recording("litellm_calls.py", (*_OTLP, "litellm", "mcp")),
    "mlflow-openai": Recording("openai_client.py", (*_OTLP, "mlflow", "openai<3"), ("mlflow",)),
    "mlflow-anthropic": Recording("anthropic_client.py", (*_OTLP, "mlflow", "anthropic"), ("mlflow",)),
    "langsmith-openai": Recording("openai_client.py", (*_OTLP, "langsmith[otel]", "openai<3"), ("langsmith",)),
    "langsmith-langchain": Recording("langchain_agent.py", (*_OTLP, "langsmith[otel]", *_LANGCHAIN), ("langsmith",)),
    "aicost": Recording("aicost_workflow.py", (*_OTLP, ".", "openai", "anthropic")),
    "openllmetry-both": Recording(
        "langchain_agent.py",
        (*_OTLP, "opentelemetry-instrumentation-langchain", "opentelemetry-instrumentation-openai", *_LANGCHAIN),
        ("openllmetry", "langchain", "openai"),
    ),
    "openinference-llamaindex": Recording(
        "llamaindex_agent.py",
        (
            *_OTLP,
            "llama-index-core",
            "llama-index-llms-openai",
            "llama-index-llms-anthropic",
            "anthropic<1",
            "llama-index-embeddings-openai",
            "openinference-instrumentation-llama-index",
        ),
    ),
    "openinference-crewai": Recording("crewai_crew.py", (*_OTLP, "crewai>=1", "openinference-instrumentation-crewai")),
    "openinference-agents": Recording(
        "openai_agents_agent.py",
        (*_OTLP, "openai-agents", "openinference-instrumentation-openai-agents"),
        ("openinference",),
    ),
    "upstream-agents": Recording(
        "openai_agents_agent.py",
        (*_OTLP, "openai-agents", "opentelemetry-instrumentation-openai-agents-v2"),
        ("upstream",),
    ),
    "logfire-agents": Recording("openai_agents_agent.py", (*_OTLP, "openai-agents", "logfire"), ("logfire",)),
    "bedrock-upstream": Recording(
        "bedrock_client.py", (*_OTLP, "boto3", "opentelemetry-instrumentation-botocore>=0.60b0")
    ),
    "openllmetry-js": _node_openai("@traceloop/instrumentation-openai", "OpenAIInstrumentation"),
    "openinference-js": _node_openai("@arizeai/openinference-instrumentation-openai", "OpenAIInstrumentation"),
    "upstream-js": _node_openai("@opentelemetry/instrumentation-openai", "OpenAIInstrumentation"),
    "spring-ai": Recording("spring_ai"),
    "spring-ai-v1": Recording("spring_ai_1"),
    "vercel-ai": _vercel(7, 4, "@ai-sdk/otel@1", integration="OpenTelemetry"),
    "vercel-ai-v7-legacy": _vercel(7, 4, "@ai-sdk/otel@1", integration="LegacyOpenTelemetry"),
    "vercel-ai-v6": _vercel(6, 3),
    "vercel-ai-v5": _vercel(5, 2),
    "vercel-ai-v4": _vercel(4, 1, "zod@3"),
}


def main(names: Iterable[str]) -> None:
    """Record the named instrumentations, or all."""
    for name in names or TABLE:
        print(f"{name} ...", flush=True)
        with tempfile.TemporaryDirectory(prefix="aicost-record-") as folder:
            _record(name, TABLE[name], Path(folder))


def _record(name: str, what: Recording, folder: Path) -> None:
    door = HERE / "doors" / what.door
    with ProviderEmulator() as emulator, _Capture() as capture:
        for words, replies in QUESTIONS.items():
            emulator.on(words).then(*replies * _MOST)
        environment = {
            **os.environ,
            "EMULATOR": emulator.base_url(),
            "OPENAI_BASE_URL": emulator.openai_base_url,
            "OPENAI_API_KEY": "test",
            "ANTHROPIC_BASE_URL": emulator.anthropic_base_url,
            "ANTHROPIC_API_KEY": "test",
            "OTEL_EXPORTER_OTLP_ENDPOINT": capture.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_SERVICE_NAME": "recorded",
            **_NOWHERE_ELSE,
        }
        command, versions = _environment(door, what, folder, environment)
        subprocess.run([*command, *what.arguments], check=True, env=environment, cwd=folder, timeout=600)
        requests = [_scrubbed(body, str(folder)) for body in capture.bodies]
        bill = [
            {
                "provider": call.provider,
                "api": call.api,
                "model": call.model,
                "usage": dict(call.usage),
                "amount": str(call.amount),
                "id": call.call_id,
            }
            for call in emulator.bill.calls
        ]
    recorded = {
        "recorded": datetime.now(timezone.utc).date().isoformat(),
        "packages": versions,
        "bill": bill,
        "requests": requests,
    }
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    (RECORDINGS / f"{name}.json").write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    print(f"{name}: {len(requests)} requests, {len(bill)} billed calls")


def _environment(
    door: Path, what: Recording, folder: Path, environ: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The command that runs a door in an environment of its own, and the versions it runs with."""
    if door.is_dir():
        shutil.copytree(door, folder / door.name)
        versions = re.findall(r"<(spring-\w+)\.version>(.+)</", (door / "pom.xml").read_text())
        return ["mvn", "-q", "-B", "-f", door.name, "compile", "spring-boot:run"], dict(versions)
    if door.suffix == ".mjs":
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", *what.packages, cwd=folder)
        (folder / door.name).write_text(door.read_text())
        lock = json.loads((folder / "package-lock.json").read_text())["packages"]
        names = [package.rpartition("@")[0] or package for package in what.packages]
        node = folder / "node_modules" / ".bin" / "node"  # where the packages name one, as `node@22`
        command = str(node) if node.exists() else "node"
        return [command, door.name], {name: lock[f"node_modules/{name}"]["version"] for name in names}
    python = folder / "env" / "bin" / "python"
    _run("uv", "venv", "-q", "-p", what.python, str(folder / "env"))
    packages = [str(ROOT) if package == "." else package for package in what.packages]
    _run("uv", "pip", "install", "-q", "--reinstall-package", "aicost", "--python", str(python), *packages)
    environ["PYTHONPATH"] = str(door.parent)
    listed = json.loads(_run("uv", "pip", "list", "--python", str(python), "--format", "json"))
    wanted = {
        "aicost" if package == "." else package.partition("[")[0].partition("=")[0].partition("<")[0].partition(">")[0]
        for package in what.packages
    }
    return [str(python), str(door)], {one["name"]: one["version"] for one in listed if one["name"] in wanted}


def _run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def _scrubbed(body: bytes, folder: str) -> Any:
    """A request as OTLP/JSON, without what it says of this machine."""
    request = ExportTraceServiceRequest.FromString(body)
    for of_resource in request.resource_spans:
        _leave_out(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                _leave_out(span.attributes)
                for event in span.events:
                    _leave_out(event.attributes)
    return json.loads(json.dumps(to_json(request)).replace(folder, "/app"))


def _leave_out(attributes: Any) -> None:
    kept = [pair for pair in attributes if not pair.key.startswith(_PRIVATE)]
    del attributes[:]
    attributes.extend(kept)


class _Capture:
    """Keeps the bodies that are posted to /v1/traces."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        handler = type("Handler", (_Handler,), {"capture": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> _Capture:  # noqa: PYI034 - Self needs Python 3.11
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    capture: _Capture

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        body = b""
        if self.headers.get("transfer-encoding") == "chunked":  # as Node's exporters send it
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path.endswith("/v1/traces") and "protobuf" in self.headers.get("content-type", ""):
            self.capture.bodies.append(body)
        self.send_response(200)
        self.send_header("content-type", self.headers.get("content-type", "application/x-protobuf"))
        self.send_header("content-length", "0")
        self.end_headers()


if __name__ == "__main__":
    main(sys.argv[1:])
