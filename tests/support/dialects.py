"""What a dialect reads."""

from __future__ import annotations

import json

from foundry_rest.transport.call import Reply

#: What every answer that is read has for headers.
HEADERS = {"server": "any"}


def read(operation, body: bytes | str | object):
    """Return what an operation reads from a body; what is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return operation.parse(Reply(200, HEADERS, content, "http://h"))
