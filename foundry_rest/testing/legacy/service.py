"""A 0.x service for tests: the routes, the memory and the words of Foundry Local 0.8.

Written after the documents, the shipped client and its users' reports (docs/service.md, section 1);
Microsoft's own client 0.5.1 lives its whole life against it in this project's tests. Give it to a server::

    with FaultServer(service=LegacyService()) as server:
        client = FoundryAPIClient(server.url, model="phi-4-mini")

or run it as a process: ``python -m foundry_rest.testing.legacy --port 0``.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import ClassVar
from urllib.parse import unquote

from foundry_rest.testing.legacy import answers
from foundry_rest.testing.legacy.catalog import (
    LEGACY_CACHED,
    LEGACY_CATALOG,
    Entry,
    in_documents_case,
    legacy_model,
)
from foundry_rest.testing.legacy.memory import Memory
from foundry_rest.testing.legacy.reading import Asked, fold, read, texts_of, tokens_in
from foundry_rest.testing.script import Script
from foundry_rest.testing.wire import Request

__all__ = ["LEGACY_CACHED", "LEGACY_CATALOG", "LegacyService", "legacy_model"]

#: Seconds that a model stays when its loading says nothing.
DEFAULT_TTL = 600
_FILES = ("genai_config.json", "tokenizer.json", "model.onnx.data")


class LegacyService:
    """Answer as 0.8 does; remember what is on disk and what is in memory. Thread-safe.

    A model is known by its exact id: an alias, a model that is not on disk, and one that is not in memory
    are all refused with the same 400.

    Args:
        catalog: Entries of ``/foundry/list`` in their order, as ``legacy_model`` builds them.
        cached: Ids on disk.
        loaded: Ids in memory, which stay there.
        reply: Text of every chat answer.
        model_dir: Directory that the status names; the default does not exist.
        documents: Spell as the documents do (Pascal case, the catalog inside an object, progress in
            pairs), not as the service's own client reads.
        finish: Say why a chat answer ended; 0.8.101 never did.
        hang: Leave chat streams open after their last chunk, as 0.8.117 did.
        broken: Ids whose loading fails.
        clock: Returns the time in seconds that times to live are measured by.

    Attributes:
        download_error: Message with which downloads fail; ``None`` for success.
        download_stop: Lines after which a download's connection is cut; ``None`` for none.
    """

    def __init__(
        self,
        catalog: Iterable[Entry] = LEGACY_CATALOG,
        cached: Iterable[str] = LEGACY_CACHED,
        loaded: Iterable[str] = (),
        *,
        reply: str = "Hello there",
        model_dir: str = "/no-such-directory/foundry/cache/models",
        documents: bool = False,
        finish: bool = True,
        hang: bool = False,
        broken: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.download_error: str | None = None
        self.download_stop: int | None = None
        self._catalog = list(catalog)
        self._cached = list(cached)
        self._memory = Memory(clock)
        self._reply, self._model_dir, self._documents = reply, model_dir, documents
        self._finish, self._hang, self._broken = finish, hang, frozenset(broken)
        self._registered: set[str] = set()
        self._gpu = 0
        self._lock = threading.Lock()
        self.loaded = loaded

    @property
    def cached(self) -> tuple[str, ...]:
        """Return the ids on disk, in the order in which they came there."""
        with self._lock:
            return tuple(self._cached)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Return or set the ids in memory."""
        with self._lock:
            return self._memory.ids

    @loaded.setter
    def loaded(self, names: Iterable[str]) -> None:
        """Replace the models in memory by some that stay."""
        with self._lock:
            self._memory.clear()
            for id in names:
                self._memory.load(id, None)

    def expire(self) -> None:
        """Drop every model that has a time to live, as if that were over."""
        with self._lock:
            self._memory.expire()

    def answer(self, request: Request, url: str) -> Script:
        """Return the answer to any request; ``url`` is the service's own address."""
        fitting = [
            (method, reply, match)
            for method, pattern, reply in self._ROUTES
            if (match := re.fullmatch(pattern, request.path, re.IGNORECASE))
        ]
        for method, reply, match in fitting:
            if method == request.method:
                try:
                    asked = read(request, url, unquote("".join(match.groups())))
                    with self._lock:
                        return reply(self, asked)
                except ValueError:  # what ASP.NET cannot bind to the handler's arguments
                    return answers.nothing(400)
        return answers.nothing(405 if fitting else 404)

    # ---------------------------------------------------------------- management

    def _status(self, asked: Asked) -> Script:
        status: Entry = {
            "endpoints": [asked.url],
            "modelDirPath": self._model_dir,
            "pipeName": "inference_agent",
        }
        return answers.json_body(in_documents_case(status) if self._documents else status)

    def _list(self, _: Asked) -> Script:
        documented = {"models": [in_documents_case(entry) for entry in self._catalog]}
        return answers.json_body(documented if self._documents else self._catalog)

    def _list_cached(self, _: Asked) -> Script:
        return answers.json_body(self._cached)

    def _list_loaded(self, _: Asked) -> Script:
        return answers.json_body(self._memory.ids)

    def _load(self, asked: Asked) -> Script:
        ttl, unload = asked.number("ttl"), asked.flag("unload", default=True)
        if asked.name not in self._cached:
            return answers.no_provider(asked.name)
        if asked.name in self._broken:
            return answers.load_failed(asked.name)
        self._memory.load(asked.name, ttl if ttl > 0 else DEFAULT_TTL if unload else None)
        return answers.nothing()

    def _unload(self, asked: Asked) -> Script:
        force = asked.flag("force", default=False)
        if asked.name not in self._cached:
            return answers.no_provider(asked.name)
        self._memory.unload(asked.name, force=force)
        return answers.nothing()

    def _unload_all(self, _: Asked) -> Script:
        self._memory.clear()
        return answers.nothing()

    def _get_gpu(self, _: Asked) -> Script:
        return answers.json_body(self._gpu)

    def _set_gpu(self, asked: Asked) -> Script:
        self._gpu = int(asked.name)
        return answers.nothing()

    def _register(self, asked: Asked) -> Script:
        self._registered.add(str(asked.body.get("modelname")))
        return answers.nothing()

    def _download(self, asked: Asked) -> Script:
        model = asked.body.get("model")
        if not isinstance(model, dict):
            return answers.problem(
                "Failed to handle download model request", "The JSON value could not be converted"
            )
        wanted = fold(model)
        error = self.download_error or self._missing(wanted.get("uri"))
        if error is None and self.download_stop is None:
            self._add(str(wanted.get("name")))
        outcome: Entry = {"success": error is None, "errorMessage": error}
        return answers.download(
            _FILES if error is None else _FILES[:1],
            in_documents_case(outcome) if self._documents else outcome,
            pairs=self._documents,
            stop=self.download_stop,
        )

    def _missing(self, uri: object) -> str | None:
        known = any(entry["uri"] == uri for entry in self._catalog)
        return None if known else f"Model not found: {uri}"

    def _add(self, name: str) -> None:
        """Put a model on disk; without a version in its name it becomes version 0 (issue 270)."""
        id = name if ":" in name else f"{name}:0"
        if id not in self._cached:
            self._cached.append(id)

    # ---------------------------------------------------------------- what models do

    def _models(self, _: Asked) -> Script:
        return answers.model_list(self._cached)

    def _chat(self, asked: Asked) -> Script:
        model, ttl = str(asked.body.get("model")), asked.body.get("ttl")
        if not self._memory.use(model, ttl if isinstance(ttl, int) else 0) and model not in self._registered:
            return answers.no_provider(model)
        if asked.body.get("stream") is True:
            return answers.stream(model, self._reply, finish=self._finish, hang=self._hang)
        prompt_tokens = tokens_in(asked.body.get("messages"))
        return answers.completion(model, self._reply, prompt_tokens, finish=self._finish)

    def _count(self, asked: Asked) -> Script:
        model = str(asked.body.get("model"))
        if not self._memory.use(model):
            return answers.no_provider(model)
        return answers.json_body({"tokenCount": tokens_in(asked.body.get("messages"))})

    def _embed(self, asked: Asked) -> Script:
        model = str(asked.body.get("model"))
        can_embed = any(entry["name"] == model and entry["task"] == "embeddings" for entry in self._catalog)
        if not can_embed or not self._memory.use(model):
            return answers.no_provider(model)
        coded = asked.body.get("encoding_format") == "base64"
        return answers.embeddings(model, texts_of(asked.body.get("input")), coded=coded)

    #: Verb, path, answer; the group of the path is ``Asked.name``.
    _ROUTES: ClassVar[tuple[tuple[str, str, Callable[..., Script]], ...]] = (
        ("GET", "/openai/status", _status),
        ("GET", "/foundry/list", _list),
        ("GET", "/openai/models", _list_cached),
        ("GET", "/openai/loadedmodels", _list_loaded),
        ("POST", "/openai/download", _download),
        ("POST", "/openai/register", _register),
        ("GET", "/openai/load/([^/]+)", _load),
        ("GET", "/openai/unload/([^/]+)", _unload),
        ("GET", "/openai/unloadall", _unload_all),
        ("GET", "/openai/getgpudevice", _get_gpu),
        ("GET", "/openai/setgpudevice/([^/]+)", _set_gpu),
        ("POST", "/v1/chat/completions", _chat),
        ("POST", "/v1/chat/completions/tokenizer/encode/count", _count),
        ("POST", "/v1/embeddings", _embed),
        ("GET", "/v1/models", _models),
    )
