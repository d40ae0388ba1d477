"""A real Redis: what has no vectors in it is none of ours, and what it does not know fails as without us."""

from __future__ import annotations

from pathlib import Path

import pytest

redis = pytest.importorskip("redis")

from tests.conftest import App

from .doors import CHOSEN
from .servers import real_redis

pytestmark = pytest.mark.skipif(CHOSEN is not None and "redis" not in CHOSEN.split(","), reason="another's turn")


def test_only_commands_on_vectors_are_recorded(app: App, tmp_path: Path) -> None:
    with real_redis(tmp_path) as port, redis.Redis(port=port) as client:
        client.set("tea", "12 euros")
        assert client.get("tea") == b"12 euros"
        with client.pipeline() as pipe:
            assert pipe.incr("n").incr("n").execute() == [1, 2]
        assert app.spans == []
        # This Redis has no search: the error is its own, and no query was made.
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.execute_command("FT.SEARCH", "docs", "*=>[KNN 3 @at $asked]")
    (said,) = app.inferences
    assert (said["db.operation.name"], said["error.type"]) == ("search", "ResponseError")
    assert app.ledger_total() == 0
