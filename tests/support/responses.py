"""The Responses API of a 2.x: its objects, its events, its refusals."""

from __future__ import annotations

import json

from foundry_rest.testing import DEMO_MODEL, json_error, sse
from foundry_rest.testing import event as block

PATH = "/v1/responses"


def response(id="resp_1", text="Hello there", status="completed", **more):
    """Return a response object."""
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}] if text else []
    return {"id": id, "object": "response", "status": status, "output": output, "model": DEMO_MODEL, **more}


def event(type, **more):
    """Return one event's block."""
    return block(json.dumps({"type": f"response.{type}", **more}), name=f"response.{type}")


def streamed(whole=None):
    """Answer with a whole stream: head, created, two deltas, completed, [DONE], end."""
    whole = response() if whole is None else whole
    deltas = [event("output_text.delta", delta=delta) for delta in ("Hello", " there")]
    begun = {**whole, "status": "in_progress", "output": []}
    return sse([event("created", response=begun), *deltas, event(whole["status"], response=whole)])


def gone(id):
    """Answer that a response is not there."""
    return json_error(404, f"The response '{id}' does not exist.", code="response_not_found", param="id")
