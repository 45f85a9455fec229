"""The values that travel: frozen, and read when they are asked."""

from __future__ import annotations

import pytest

from foundry_rest.errors import InvalidReply
from foundry_rest.transport.call import Call, Replay, Reply


def test_a_call_is_a_frozen_value():
    """What travels cannot change on its way; by default it is not repeated once it may have begun."""
    call = Call("GET", "/status")

    assert call.replay is Replay.IF_UNSENT
    assert call.options.until == float("inf")
    with pytest.raises(AttributeError):
        call.path = "/other"


def test_raw_is_the_decoded_body():
    """``raw`` keeps what no type names; an empty body (1.x answers loads so) is None."""
    assert Reply(200, {}, b'{"a": [1]}').raw == {"a": [1]}
    assert Reply(200, {}, b"").raw is None
    with pytest.raises(InvalidReply):
        _ = Reply(200, {}, b"no").raw
