"""Checked by mypy, not run: what an integration outside of aicost is written with."""

from __future__ import annotations

from typing_extensions import assert_type

import aicost

call = aicost.start_call("acme-sdk", provider="acme", model="m", operation="chat", max_output_tokens=5)
assert_type(call, aicost.OpenCall)
assert_type(call.event_id, str | None)
assert_type(call.stop(usage={"input": 1}), None)
call.stop({"usage": {}}, model="m", response_id="r", complete=False)
call.retry(TimeoutError(), chargeable=True)
call.fail("quota", chargeable=False)
with call as inside:
    assert_type(inside, aicost.OpenCall)
aicost.start_call("acme-sdk", provider="acme")  # type: ignore[call-arg]
call.stop(usage=5)  # type: ignore[arg-type]
call.fail(5)  # type: ignore[arg-type]
