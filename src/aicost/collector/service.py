"""The collector as a running service: what is configured is put together, started, and stopped without loss."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import CollectorRegistry

from aicost._errors import AicostError, ConfigError
from aicost._settings import Settings
from aicost._settings.collector_section import OtlpExporter, Receiver, Receivers, Retry
from aicost.ledger import Ledger
from aicost.ledger.where import beside, where_is
from aicost.scopes import id_key
from aicost.telemetry.profiles import CostProfile

from . import older_spool
from .card_watch import CardWatch
from .cost_metrics import CostMeters, Health
from .delivery import Delivery, Direct, Lane, Spooled
from .exporters import exporters_for
from .exposition import Exposition, families
from .grpc_receiver import grpc_server
from .http import OtlpApp, guarded
from .intake import Intake, MalformedError, RefusedError
from .memory import Memory
from .pricer import Pricer
from .spool import SIGNALS, Spool

_log = logging.getLogger("aicost.collector")
_RESTART_S = 1.0


def run(settings: Settings) -> int:
    """Run a collector until it is told to stop; returns the exit status. Raises `AicostError` if it cannot start."""
    log_as_json()
    if settings.collector.processes == 1:
        return _run_here(settings, 0)
    return _run_processes(settings)


def collect_garbage_rarely() -> None:
    """Have Python look for cycles less often: pricing makes many objects and no cycles, and looking took a fifth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _run_here(settings: Settings, index: int) -> int:
    id_key.use(settings.secret_id_key)
    _raise_file_limit()
    collect_garbage_rarely()
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(settings, index))
    else:
        uvloop.run(_serve(settings, index))
    return 0


async def _serve(settings: Settings, index: int) -> None:
    collector = Service(settings, index)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await collector.start()
    try:
        await stopping.wait()
    finally:
        await collector.stop()


class Service:
    """One process of a collector. Raises `AicostError` for what it cannot be made of."""

    def __init__(self, settings: Settings, index: int = 0) -> None:
        config = settings.collector
        self._config, self._index = config, index
        self._shared = config.processes > 1
        self._cards = CardWatch(config.rate_card)
        self._exporters = exporters_for(config.exporters)
        self._lanes = self._made_lanes()
        kept = config.spool.path / str(self._index) if config.spool is not None else None
        self._spools = {} if kept is None else self._spools_in(kept)
        self._delivery: Delivery = Direct(self._lanes) if kept is None else self._spooled(kept, self._spools)
        self._others = self._left_over()
        self.health = Health()
        self.costs = CostMeters(config.cost_metrics)
        ledger = self._ledger = _ledger(settings, self._cards)
        self.intake = Intake(
            Pricer(
                self._cards.kernel,
                profiles=[CostProfile(name) for name in config.pricing.profiles],
                overwrite=config.pricing.overwrite,
                owners=self.costs.owners,
                events=ledger is not None,
                memory=self._memory(),
            ),
            self._delivery,
            ledger=ledger,
            costs=self.costs,
            health=self.health,
            max_in_flight=config.receivers.max_in_flight,
        )
        self._token = _token(config.receivers)
        self._registry = CollectorRegistry()
        self._registry.register(Exposition((self._families, self.costs.families)))
        self._servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []
        self._grpc: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False
        self.ports: dict[str, int] = {}

    def _memory(self) -> Memory | None:
        """Where it keeps what it has seen: in the spool, else beside the ledger; without either, nowhere."""
        config, name = self._config, f"views-{self._index}.jsonl"
        if config.spool is not None:
            return Memory(Path(config.spool.path) / name)
        return None if config.ledger is None else Memory(beside(where_is(config.ledger), name))

    async def start(self) -> None:
        """Listen and deliver. Raises `ConfigError` for addresses that cannot be listened at."""
        config, receivers = self._config, self._config.receivers
        for delivery in (self._delivery, *self._others):
            await delivery.start()
        pages = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}
        if receivers.http is not None:
            beside = pages if config.admin is None else {}
            app = OtlpApp(self.intake, receivers, beside, self._token)
            self.ports["http"] = await self._listen(app, "receivers.http.listen", receivers.http)
        if receivers.grpc is not None:
            self._grpc, port = grpc_server(self.intake, receivers, receivers.grpc, self._token, shared=self._shared)
            await self._grpc.start()
            self.ports["grpc"] = port
        if config.admin is not None:
            host, _, port_text = config.admin.rpartition(":")
            own = int(port_text) and int(port_text) + self._index
            app = OtlpApp(None, receivers, pages, self._token)
            self.ports["admin"] = await self._listen(app, "admin", Receiver(listen=f"{host}:{own}"), shared=False)
        self._tasks = [asyncio.create_task(self._cards.watch())]
        if config.cost_metrics.enabled and self._delivery.takes("metrics"):
            self._tasks.append(asyncio.create_task(self._send_costs()))
        self._ready = True
        _log.info("listening", extra={"ports": self.ports, "rate_card": self._cards.version})

    async def stop(self) -> None:
        """Take nothing more, finish what is under way, and deliver what there is time for."""
        until = time.monotonic() + self._config.drain_timeout
        self._ready = False
        self.intake.draining = True
        _log.info("stopping")
        for server, _ in self._servers:
            server.should_exit = True
        if self._grpc is not None:
            await self._grpc.stop(max(0.0, until - time.monotonic()))
        for _, task in self._servers:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(task, max(0.1, until - time.monotonic()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._config.cost_metrics.enabled and self._delivery.takes("metrics"):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._send_costs_once(), max(0.1, until - time.monotonic()))
        for delivery in (self._delivery, *self._others):
            await delivery.stop(max(0.1, until - time.monotonic()))
        for exporter in self._exporters:
            await exporter.close()
        self.intake.close()
        _log.info("stopped")

    async def _listen(self, app: OtlpApp, setting: str, receiver: Receiver, *, shared: bool | None = None) -> int:
        bound = _bound(receiver.listen, setting, shared=self._shared if shared is None else shared)
        receivers, tls = self._config.receivers, receiver.tls
        try:
            server_config = uvicorn.Config(
                app,
                http=guarded(receivers.max_connections, receivers.read_timeout),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=max(1, int(self._config.drain_timeout)),
                backlog=4096,
                ssl_certfile=tls.cert_file if tls is not None else None,
                ssl_keyfile=tls.key_file if tls is not None else None,
                ssl_ca_certs=str(tls.client_ca_file) if tls is not None and tls.client_ca_file else None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if tls is not None and tls.client_ca_file else ssl.CERT_NONE,
            )
            server_config.load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{setting}: its TLS files cannot be used: {error}") from None
        server = _Server(server_config)
        task = asyncio.create_task(server.serve(sockets=[bound]))
        self._servers.append((server, task))
        while not server.started:
            if task.done():
                task.result()
                raise ConfigError(f"{setting}: cannot listen at {receiver.listen}")
            await asyncio.sleep(0.005)
        return int(bound.getsockname()[1])

    def _made_lanes(self) -> list[Lane]:
        lanes = []
        for exporter, config in zip(self._exporters, self._config.exporters, strict=True):
            otlp = config if isinstance(config, OtlpExporter) else None
            retry, at_once = (otlp.retry, otlp.concurrency) if otlp is not None else (Retry(), 1)
            lanes += [Lane(exporter, signal, retry, at_once) for signal in config.signals]
        return lanes

    def _spools_in(self, folder: Path) -> dict[str, Spool]:
        """A spool for each signal that is sent anywhere, with its part of the room."""
        assert self._config.spool is not None  # noqa: S101 - narrowing: nobody asks otherwise
        signals = sorted({lane.signal for lane in self._lanes})
        parts = {signal: 2 if signal == "traces" else 1 for signal in signals}
        room = self._config.spool.max_size
        return {
            signal: self._spool(folder / signal, self._names(signal), room * part // sum(parts.values()))
            for signal, part in parts.items()
        }

    def _names(self, signal: str | None = None) -> list[str]:
        """The exporters that take a signal, or any."""
        return list(dict.fromkeys(lane.exporter.name for lane in self._lanes if signal in (None, lane.signal)))

    def _left_over(self) -> list[Spooled]:
        """What is still kept by processes that there are no more, and by versions with one spool for all signals."""
        config = self._config.spool
        if config is None or not config.path.is_dir():
            return []
        found = []
        for folder in [one for one in config.path.glob("*/*") if one.name in SIGNALS and one.name not in self._spools]:
            self._spool(folder, [], config.max_size).close()  # says what is left out, as no exporter takes it now
        for folder in [one for one in config.path.iterdir() if one.name.isdigit()]:
            is_own, is_gone = int(folder.name) == self._index, int(folder.name) >= self._config.processes
            if is_own or (is_gone and self._index == 0):
                if any(folder.glob(older_spool.PATTERN)):
                    spool = self._spool(folder, self._names(), config.max_size)
                    found.append(self._spooled(folder, dict.fromkeys(SIGNALS, spool)))
                if not is_own:
                    found.append(self._spooled(folder, self._spools_in(folder)))
        return found

    def _spooled(self, folder: Path, spools: Mapping[str, Spool]) -> Spooled:
        return Spooled(folder, spools, self._lanes)

    def _spool(self, folder: Path, readers: Iterable[str], max_size: int) -> Spool:
        assert self._config.spool is not None  # noqa: S101 - narrowing: nobody asks otherwise
        return Spool(folder, readers, max_size=max_size, durability=self._config.spool.durability)

    async def _send_costs(self) -> None:
        while True:
            await asyncio.sleep(self._config.cost_metrics.interval)
            await self._send_costs_once()

    async def _send_costs_once(self) -> None:
        request = self.costs.request()
        if request is None:
            return
        try:
            await self.intake.deliver("metrics", request)
        except RefusedError as error:
            if not isinstance(error, MalformedError):  # of an endpoint that takes none, its lane has told
                _log.warning("metrics of cost were not delivered: %s", error)
            self.costs.take_back()
        except BaseException:
            self.costs.take_back()
            raise

    def _healthz(self) -> tuple[int, str, bytes]:
        return 200, "text/plain; charset=utf-8", b"ok\n"

    def _readyz(self) -> tuple[int, str, bytes]:
        if self._ready:
            return 200, "text/plain; charset=utf-8", b"ready\n"
        return 503, "text/plain; charset=utf-8", b"not ready: starting or stopping\n"

    def _families(self) -> Iterator[Any]:
        return families(self.health, self._cards, self._ledger, self._exporters, self._lanes, self._spools)

    def _metrics(self) -> tuple[int, str, bytes]:
        return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(address: str, setting: str, *, shared: bool) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, int(port)))
    except OSError as error:
        bound.close()
        raise ConfigError(f"{setting}: cannot listen at {address}: {error.strerror}") from None
    bound.setblocking(False)
    return bound


def _token(receivers: Receivers) -> str | None:
    if receivers.bearer_token_file is None:
        return None
    try:
        token = receivers.bearer_token_file.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"receivers.bearer_token_file: cannot read {receivers.bearer_token_file}: {error.strerror}"
        ) from None
    if not token:
        raise ConfigError(f"receivers.bearer_token_file: {receivers.bearer_token_file} is empty")
    return token


def _raise_file_limit() -> None:
    """As many open files as the system lets us have: each connection is one."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _ledger(settings: Settings, cards: CardWatch) -> Ledger | None:
    path = settings.collector.ledger
    if path is None:
        return None
    return Ledger.open(
        path,
        rates=cards.kernel,
        durability=settings.ledger_durability,
        max_bytes=settings.journal_max_bytes,
        segment_bytes=settings.journal_segment_bytes,
        owners=settings.owners,
    )


def _work(settings: Settings, index: int) -> None:
    log_as_json()
    try:
        sys.exit(_run_here(settings, index))
    except AicostError as error:
        _log.error("%s", error)
        sys.exit(1)


def _run_processes(settings: Settings) -> int:
    """Start the processes, start again those that die, and stop them all when told to."""
    config = settings.collector
    CardWatch(config.rate_card)  # what is wrong with it is said once, here
    context = multiprocessing.get_context("spawn")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)

    def begun(index: int) -> Any:
        process = context.Process(target=_work, args=(settings, index), name=f"aicost-collector-{index}")
        process.start()
        return process

    workers = [begun(index) for index in range(config.processes)]
    began = time.monotonic()
    while not stopping:
        time.sleep(0.1)
        for index, worker in enumerate(workers):
            if not worker.is_alive() and not stopping:
                if worker.exitcode == 1 and time.monotonic() - began < 5 * _RESTART_S:
                    stopping = True  # it cannot start, and has said why
                    break
                _log.error("process %d died with status %s and is started again", index, worker.exitcode)
                time.sleep(_RESTART_S)
                workers[index] = begun(index)
    for worker in workers:
        if worker.is_alive() and worker.pid is not None:
            os.kill(worker.pid, signal.SIGTERM)
    for worker in workers:
        worker.join(config.drain_timeout + 10)
        if worker.is_alive():
            worker.kill()
    return int(any(worker.exitcode for worker in workers))


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and what is given as `extra`."""

    _STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in self._STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """Write structured logs to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("aicost").setLevel(logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
