"""Real servers on loopback for the tests of what writes to them. None is skipped: a test that cannot have one fails."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port that nobody listens on, outside the range that outgoing connections take theirs from: a server that was
    stopped finds it free when it starts again, and no client connects to itself meanwhile."""
    for port in random.sample(range(15_000, 30_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port on 127.0.0.1 among 100 tried")
