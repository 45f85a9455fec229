"""Tools to test code that calls Foundry Local, without a service.

``FaultServer`` is a loopback service that fails as scripted; ``FakeSender``, ``FakeOpenReply`` and
``FakeClock`` need no socket at all. A script for one request is made of steps::

    with FaultServer() as server:
        server.on("POST", "/v1/chat/completions", too_many(1), chat_stream("one two three")[:3] + cut())

Everything listed here is public; the modules behind it are not.
"""

from foundry_rest.testing.answers import (
    DEMO_MODEL,
    chat_completion,
    chat_event,
    chat_events,
    chat_stream,
    context_exceeded,
    error_event,
    error_stream,
    inference_failed,
    json_answer,
    json_error,
    model_item,
    model_list,
    model_not_cached,
    model_not_found,
    model_not_loaded,
    service_status,
    too_many,
    unavailable,
    unmapped,
)
from foundry_rest.testing.fakes import FakeClock, FakeOpenReply, FakeSender
from foundry_rest.testing.framing import (
    BOM,
    DONE,
    DONE_UNSPACED,
    MALFORMED,
    answer,
    bad_chunk_size,
    chunked,
    close_delimited,
    comment,
    event,
    html_page,
    sse,
)
from foundry_rest.testing.legacy import LegacyService, legacy_model
from foundry_rest.testing.listener import dead_address, deaf_address
from foundry_rest.testing.script import (
    Script,
    cut,
    die,
    dribble,
    hold,
    paced,
    pause,
    reset,
    send,
    split,
    stall,
)
from foundry_rest.testing.server import Answer, FaultServer
from foundry_rest.testing.wire import Headers, Request

__all__ = [
    "BOM",
    "DEMO_MODEL",
    "DONE",
    "DONE_UNSPACED",
    "MALFORMED",
    "Answer",
    "FakeClock",
    "FakeOpenReply",
    "FakeSender",
    "FaultServer",
    "Headers",
    "LegacyService",
    "Request",
    "Script",
    "answer",
    "bad_chunk_size",
    "chat_completion",
    "chat_event",
    "chat_events",
    "chat_stream",
    "chunked",
    "close_delimited",
    "comment",
    "context_exceeded",
    "cut",
    "dead_address",
    "deaf_address",
    "die",
    "dribble",
    "error_event",
    "error_stream",
    "event",
    "hold",
    "html_page",
    "inference_failed",
    "json_answer",
    "json_error",
    "legacy_model",
    "model_item",
    "model_list",
    "model_not_cached",
    "model_not_found",
    "model_not_loaded",
    "paced",
    "pause",
    "reset",
    "send",
    "service_status",
    "split",
    "sse",
    "stall",
    "too_many",
    "unavailable",
    "unmapped",
]
