"""Keys and prompts in what the whole suite puts out: each test's log at level debug, and what is printed.

Whatever a test sends is a canary: after the test none of its keys may be in any output, and none of its
prompts in the log. A test that has bodies logged on purpose carries the mark ``logs_bodies``.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from foundry_rest.observe.fan_out import logger
from foundry_rest.transport.session.masking import keys_in
from foundry_rest.transport.session.request_builder import RequestBuilder

#: Fewest characters of what cannot be in a log by chance.
_SHORTEST = 12
#: What any logger puts into a record; the rest is what ours adds.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Canaries(logging.Handler):
    """What one test has sent, logged and printed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._is_paused = False
        self.forget()

    def forget(self) -> None:
        """Begin with the next test."""
        self.keys: set[str] = set()
        self.prompts: set[str] = set()
        self.logged: list[str] = []
        self.printed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what a record tells, in its text and beside it."""
        more = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        self.logged.append(f"{record.getMessage()} {more}")

    def found(self, *, with_prompts: bool) -> list[str]:
        """Return where keys and prompts came out."""
        canaries = self.keys | (self.prompts if with_prompts else set())
        logged = [f"logged: {line}" for line in self.logged if any(each in line for each in canaries)]
        return logged + [
            f"printed: {text}" for text in self.printed if any(each in text for each in self.keys)
        ]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep nothing, and let the log be as it is outside of tests."""
        level = logger.level
        self._is_paused = True
        logger.setLevel(logging.NOTSET)
        try:
            yield
        finally:
            logger.setLevel(level)
            self._is_paused = False

    @contextmanager
    def watching(self, patch: pytest.MonkeyPatch) -> Iterator[Canaries]:
        """Keep all requests, records and outputs."""
        patch.setattr(RequestBuilder, "build", self._kept_request(RequestBuilder.build))
        patch.setattr(subprocess.Popen, "__init__", self._kept_key(subprocess.Popen.__init__))
        for kind, name in ((pytest.CaptureFixture, "readouterr"), (subprocess.Popen, "communicate")):
            patch.setattr(kind, name, self._kept_output(getattr(kind, name)))
        level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.DEBUG)
        yield self
        logger.removeHandler(self)
        logger.setLevel(level)

    def _kept_request(self, build: Callable[..., object]) -> Callable[..., object]:
        def kept(*args: object) -> object:
            request = build(*args)
            if self._is_paused:
                return request
            self.keys.update(key for key in keys_in(request) if len(key) >= _SHORTEST)
            self.prompts.update(_long_texts(getattr(request, "body", None)))
            return request

        return kept

    def _kept_key(self, begin: Callable[..., None]) -> Callable[..., None]:
        def kept(process: object, *args: object, **options: Any) -> None:
            key = (options.get("env") or os.environ).get("FOUNDRY_API_KEY", "")
            if len(key) >= _SHORTEST:
                self.keys.add(key)
            begin(process, *args, **options)

        return kept

    def _kept_output(self, read: Callable[..., Iterable[object]]) -> Callable[..., Iterable[object]]:
        def kept(*args: object, **options: object) -> Iterable[object]:
            out = read(*args, **options)
            self.printed += [
                each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in out
            ]
            return out

        return kept


def _long_texts(body: Any) -> list[str]:
    """Return the long prompts in a body."""
    try:
        texts = [message["content"] for message in json.loads(body)["messages"]]
    except (ValueError, TypeError, LookupError):
        return []
    return [text for text in texts if isinstance(text, str) and len(text) >= _SHORTEST]


def _as_text(output: object) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else str(output)
