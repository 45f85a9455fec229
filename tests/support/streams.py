"""Streams over scripted events, and the events of a chat."""

from __future__ import annotations

import json

from foundry_rest.config import Timeouts
from foundry_rest.dialects.openai import parse_chunk
from foundry_rest.dialects.operation import Operation
from foundry_rest.stream import ChatStream
from foundry_rest.testing import FakeOpenReply
from foundry_rest.transport.call import Call, Options

DONE = b"[DONE]"
FINISHED, CLOSED = {"finished": True, "closed": False}, {"finished": False, "closed": True}


class Watched:
    """A stream over scripted events, and what it told."""

    kind, parse, label = ChatStream, staticmethod(parse_chunk), "chat.stream"

    def __init__(self, *events, parse=None, idle=30.0):
        self.opened = FakeOpenReply(events)
        self.told = []
        options = Options(timeouts=Timeouts(idle=idle))
        operation = Operation(
            Call("POST", "/x", label=self.label, model="demo", options=options), parse or self.parse
        )
        self.stream = self.kind(self.opened, operation, 0.0, self.told.append)

    @property
    def ended(self):
        """Return how the open reply was given back."""
        return {"finished": self.opened.finished, "closed": self.opened.closed}


def chunk(content=None, finish=None, **more):
    """Return the data of one event of a chat."""
    delta = {name: value for name, value in {"content": content, **more}.items() if value is not None}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "c1", "model": "demo:1", "created": 7, "choices": [choice]}).encode()


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGE_CHUNK = json.dumps({"choices": [], "usage": USAGE}).encode()
#: A chat that ends as it should.
WHOLE = (chunk("", role="assistant"), chunk("one"), chunk(" two"), chunk(finish="stop"), USAGE_CHUNK, DONE)
