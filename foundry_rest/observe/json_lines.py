"""Log records as JSON, one object a line."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

#: Attributes that every record has; whatever else one has was given to it as ``extra``.
_COMMON = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))


class JsonFormatter(logging.Formatter):
    """A formatter that writes a record as one line of JSON, in ASCII.

    ``time`` is ISO 8601 in UTC with milliseconds; ``level``, ``logger`` and ``message`` follow, then what the
    record was given as ``extra``, and ``exception`` where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, without its end."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _COMMON)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, default=str)
