"""A 0.x service for tests: the routes, the loaded models and the error texts of Foundry Local 0.8.

Written from the documentation, the shipped client and its users' reports (docs/reference/service.md, section
1); this project's tests run every function of Microsoft's own client 0.5.1 against it. Give it to a server::

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
from foundry_rest.testing.legacy.loaded_models import LoadedModels
from foundry_rest.testing.legacy.request_parsing import (
    LegacyRequest,
    count_words,
    lower_names,
    parse_request,
    string_list,
)
from foundry_rest.testing.script import Script
from foundry_rest.testing.wire import Request

__all__ = ["LEGACY_CACHED", "LEGACY_CATALOG", "LegacyService", "legacy_model"]

#: Seconds that a model stays loaded when the request to load it gives no time.
DEFAULT_TTL = 600
_FILES = ("genai_config.json", "tokenizer.json", "model.onnx.data")


class LegacyService:
    """A service that answers as 0.8 does, with models on disk and in memory. Thread-safe.

    A model is known by its exact id: an alias, a model that is not on disk, and one that is not in memory
    are all refused with the same 400.

    Args:
        catalog: Entries of ``/foundry/list`` in their order, as ``legacy_model`` builds them.
        cached: Ids on disk.
        loaded: Ids in memory, which stay there.
        reply: Text of every chat answer.
        model_dir: Directory that the status names; the default does not exist.
        documents: Spell as Microsoft's documentation does (Pascal case, the catalog inside an object,
            progress in pairs), not as its client expects.
        finish: Give a finish reason in chat answers; 0.8.101 never did.
        hang: Leave chat streams open after their last chunk, as 0.8.117 did.
        broken: Ids whose loading fails.
        clock: Returns the time in seconds by which times to live are measured.

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
        self._loaded = LoadedModels(clock)
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
            return self._loaded.ids

    @loaded.setter
    def loaded(self, names: Iterable[str]) -> None:
        """Replace the models in memory by some that stay."""
        with self._lock:
            self._loaded.clear()
            for id in names:
                self._loaded.load(id, None)

    def expire(self) -> None:
        """Drop every model that has a time to live, as if it were over."""
        with self._lock:
            self._loaded.expire()

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
                    call = parse_request(request, url, unquote("".join(match.groups())))
                    with self._lock:
                        return reply(self, call)
                except ValueError:  # ASP.NET cannot bind it to the handler's arguments
                    return answers.nothing(400)
        return answers.nothing(405 if fitting else 404)

    # ---------------------------------------------------------------- management

    def _status(self, call: LegacyRequest) -> Script:
        status: Entry = {
            "endpoints": [call.url],
            "modelDirPath": self._model_dir,
            "pipeName": "inference_agent",
        }
        return answers.json_body(in_documents_case(status) if self._documents else status)

    def _list(self, _: LegacyRequest) -> Script:
        documented = {"models": [in_documents_case(entry) for entry in self._catalog]}
        return answers.json_body(documented if self._documents else self._catalog)

    def _list_cached(self, _: LegacyRequest) -> Script:
        return answers.json_body(self._cached)

    def _list_loaded(self, _: LegacyRequest) -> Script:
        return answers.json_body(self._loaded.ids)

    def _load(self, call: LegacyRequest) -> Script:
        ttl, unload = call.number("ttl"), call.flag("unload", default=True)
        if call.name not in self._cached:
            return answers.no_provider(call.name)
        if call.name in self._broken:
            return answers.load_failed(call.name)
        self._loaded.load(call.name, ttl if ttl > 0 else DEFAULT_TTL if unload else None)
        return answers.nothing()

    def _unload(self, call: LegacyRequest) -> Script:
        force = call.flag("force", default=False)
        if call.name not in self._cached:
            return answers.no_provider(call.name)
        self._loaded.unload(call.name, force=force)
        return answers.nothing()

    def _unload_all(self, _: LegacyRequest) -> Script:
        self._loaded.clear()
        return answers.nothing()

    def _get_gpu(self, _: LegacyRequest) -> Script:
        return answers.json_body(self._gpu)

    def _set_gpu(self, call: LegacyRequest) -> Script:
        self._gpu = int(call.name)
        return answers.nothing()

    def _register(self, call: LegacyRequest) -> Script:
        self._registered.add(str(call.body.get("modelname")))
        return answers.nothing()

    def _download(self, call: LegacyRequest) -> Script:
        model = call.body.get("model")
        if not isinstance(model, dict):
            return answers.problem(
                "Failed to handle download model request", "The JSON value could not be converted"
            )
        wanted = lower_names(model)
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
        """Put a model on disk, as version 0 if its name has no version (Foundry-Local issue 270)."""
        id = name if ":" in name else f"{name}:0"
        if id not in self._cached:
            self._cached.append(id)

    # ---------------------------------------------------------------- inference

    def _models(self, _: LegacyRequest) -> Script:
        return answers.model_list(self._cached)

    def _chat(self, call: LegacyRequest) -> Script:
        model, ttl = str(call.body.get("model")), call.body.get("ttl")
        if not self._loaded.use(model, ttl if isinstance(ttl, int) else 0) and model not in self._registered:
            return answers.no_provider(model)
        if call.body.get("stream") is True:
            return answers.stream(model, self._reply, finish=self._finish, hang=self._hang)
        prompt_tokens = count_words(call.body.get("messages"))
        return answers.completion(model, self._reply, prompt_tokens, finish=self._finish)

    def _count(self, call: LegacyRequest) -> Script:
        model = str(call.body.get("model"))
        if not self._loaded.use(model):
            return answers.no_provider(model)
        return answers.json_body({"tokenCount": count_words(call.body.get("messages"))})

    def _embed(self, call: LegacyRequest) -> Script:
        model = str(call.body.get("model"))
        can_embed = any(entry["name"] == model and entry["task"] == "embeddings" for entry in self._catalog)
        if not can_embed or not self._loaded.use(model):
            return answers.no_provider(model)
        coded = call.body.get("encoding_format") == "base64"
        return answers.embeddings(model, string_list(call.body.get("input")), coded=coded)

    #: Verb, path, answer; the group of the path is ``LegacyRequest.name``.
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
