"""One event of each kind."""

from __future__ import annotations

from foundry_rest.errors import ServerError
from foundry_rest.events import (
    AttemptFailed,
    CallFinished,
    CircuitChanged,
    CureStarted,
    ServiceMoved,
    TimeoutChanged,
)

ERROR = ServerError("it broke", status=500)
FAILED = AttemptFailed("http://h", "id", "chat.complete", "m", 2, ERROR, 1.5, 0.25)
FINISHED = CallFinished("http://h", "id", "chat.stream", "m", 1, "abandoned", 1.5, completion_tokens=3)
CURED = CureStarted("http://h", "id", "chat.complete", "m", 1, "load", ERROR)
RESOLVED = CureStarted("http://h", "id", "chat.complete", "m", 1, "resolve", ERROR)
OPENED = CircuitChanged("http://h", "closed", "open")
CLOSED = CircuitChanged("http://h", "half-open", "closed")
MOVED = ServiceMoved("http://new", "http://old")
ADAPTED = TimeoutChanged("http://h", "chat.stream", "m", "idle", 2048, 1, 120.0, 5.0, "a call was quick")
