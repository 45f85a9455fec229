"""The healthy service behind the faults: Foundry Local 2.2.1's answers on the routes every client needs."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from foundry_rest.testing import answers
from foundry_rest.testing.script import Script
from foundry_rest.testing.wire import Request

#: The default catalog: alias -> id.
DEMO = {"demo": answers.DEMO_MODEL}
#: Tokens of its models' context, as Phi-4-mini's.
CONTEXT = 131_072


class HealthyService:
    """A service that answers as 2.x does, with models in memory. Thread-safe.

    Loading and unloading take the alias, ``/v1`` takes the id; a path is never percent-decoded.

    Args:
        models: Alias -> id of the whole catalog.
        loaded: Aliases or ids in memory; ``None`` for every one on disk.
        not_cached: Aliases or ids that are in the catalog, but not on disk.
        reply: Text of every chat answer.
        model_cache_path: Directory that ``/status`` names.
        pid: Process that ``/status`` names.
    """

    def __init__(
        self,
        models: Mapping[str, str],
        loaded: Iterable[str] | None,
        not_cached: Iterable[str] = (),
        reply: str = "Hello there",
        model_cache_path: str = "",
        pid: int = 0,
    ) -> None:
        self._models = dict(models)
        self._reply = reply
        self._model_cache_path, self._pid = model_cache_path, pid
        self._lock = threading.Lock()
        self._not_cached = self._ids(not_cached)
        on_disk = (id for id in self._models.values() if id not in self._not_cached)
        self._loaded = self._ids(on_disk if loaded is None else loaded)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Return the ids in memory, in catalog order."""
        with self._lock:
            return tuple(id for id in self._models.values() if id in self._loaded)

    @loaded.setter
    def loaded(self, names: Iterable[str]) -> None:
        """Replace the models in memory; aliases or ids."""
        ids = self._ids(names)
        with self._lock:
            self._loaded = ids

    def answer(self, request: Request, url: str) -> Script:
        """Return the answer to any request; ``url`` is the service's own address."""
        path = re.sub("/+", "/", request.path).rstrip("/")
        if (request.method, path) == ("GET", "/status"):
            return answers.service_status(url, self._model_cache_path, self._pid)
        for method, pattern, reply in self._ROUTES:
            match = re.fullmatch(pattern, path)
            if request.method == method and match:
                return reply(self, request, *match.groups())
        return answers.unmapped(request.method, request.path)

    def _list_loaded(self, _: Request) -> Script:
        return answers.json_answer(list(self.loaded))

    def _list(self, _: Request) -> Script:
        return answers.model_list(self._models.values())

    def _item(self, _: Request, id: str) -> Script:
        known = id in self._models.values()
        return answers.model_item(id) if known else answers.model_not_found(id)

    def _load(self, _: Request, alias: str) -> Script:
        id = self._models.get(alias)
        if id is None:
            return answers.model_not_found(alias)
        if id in self._not_cached:
            return answers.model_not_cached()
        with self._lock:
            word = "already_loaded" if id in self._loaded else "loaded"
            self._loaded.add(id)
        return answers.json_answer({"status": word})

    def _unload(self, _: Request, alias: str) -> Script:
        id = self._models.get(alias)
        if id is None:
            return answers.model_not_found(alias)
        with self._lock:
            word = "unloaded" if id in self._loaded else "not_loaded"
            self._loaded.discard(id)
        return answers.json_answer({"status": word})

    def _chat(self, request: Request) -> Script:
        try:
            body = request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return answers.json_error(400, "Invalid JSON: the body is not a JSON object")
        model = str(body.get("model"))
        if model not in self._models.values():
            return answers.model_not_found(model)
        if model not in self.loaded:
            return answers.model_not_loaded(model)
        return self._generate(model, body)

    def _generate(self, model: str, body: dict[str, object]) -> Script:
        asked, streams = body.get("max_tokens"), body.get("stream") is True
        if isinstance(asked, int) and asked > CONTEXT:
            return answers.context_exceeded(CONTEXT, asked, stream=streams)
        if not streams:
            return answers.chat_completion(self._reply, model=model)
        options = body.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        return answers.chat_stream(self._reply, usage=usage, model=model)

    def _ids(self, names: Iterable[str]) -> set[str]:
        ids = {self._models.get(name, name) for name in names}
        unknown = ids - set(self._models.values())
        if unknown:
            raise ValueError(f"not among the models: {', '.join(sorted(unknown))}")
        return ids

    #: Verb, path, answer; the groups of the path go to the answer.
    _ROUTES: ClassVar[tuple[tuple[str, str, Callable[..., Script]], ...]] = (
        ("GET", "/models/loaded", _list_loaded),
        ("GET", "/models/load/([^/]+)", _load),
        ("GET", "/models/unload/([^/]+)", _unload),
        ("GET", "/v1/models", _list),
        ("GET", "/v1/models/([^/]+)", _item),
        ("POST", "/v1/chat/completions", _chat),
    )
