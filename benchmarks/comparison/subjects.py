"""Who asks: the floor by hand, the peers, and this package, all with the same two questions."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from comparison.behaviour import MODEL
from comparison.byhand import (
    MAX_TOKENS,
    HttpClient,
    HttpClientQuick,
    HttpClientStreamed,
    Requests,
    RequestsSession,
    Subject,
    Urllib3,
    body_of,
)


class OpenAI(Subject):
    """Ask with OpenAI's own client."""

    package: ClassVar[str] = "openai"

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._connect()

    def _connect(self) -> None:
        make = importlib.import_module("openai").OpenAI
        self._client: Any = make(base_url=f"{self._base}/v1", api_key="none")

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        return str(self._client.chat.completions.create(**body_of(prompt)).choices[0].message.content)

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event."""
        for chunk in self._client.chat.completions.create(**body_of(prompt, stream=True)):
            yield (chunk.choices[0].delta.content or "") if chunk.choices else ""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def disconnect(self) -> None:
        """Take a new client: a closed one stays closed."""
        self.close()
        self._connect()


class Ollama(Subject):
    """Ask with ollama's client, in ollama's own protocol."""

    package: ClassVar[str] = "ollama"

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._client: Any = importlib.import_module("ollama").Client(host=base)

    def _ask(self, prompt: str, *, stream: bool) -> Any:
        said, options = [{"role": "user", "content": prompt}], {"num_predict": MAX_TOKENS}
        return self._client.chat(model=MODEL, messages=said, options=options, stream=stream)

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        return str(self._ask(prompt, stream=False).message.content)

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event."""
        for chunk in self._ask(prompt, stream=True):
            yield chunk.message.content or ""


class LiteLLM(Subject):
    """Ask with litellm, which asks with OpenAI's client."""

    package: ClassVar[str] = "litellm"

    def __init__(self, base: str) -> None:
        super().__init__(base)
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would ask GitHub when imported
        self._litellm: Any = importlib.import_module("litellm")
        self._place = {"api_base": f"{base}/v1", "api_key": "none"}

    def _ask(self, prompt: str, *, stream: bool = False) -> Any:
        content = {**body_of(prompt, stream=stream), "model": f"openai/{MODEL}"}
        return self._litellm.completion(**content, **self._place)

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        return str(self._ask(prompt).choices[0].message.content)

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event."""
        for chunk in self._ask(prompt, stream=True):
            yield chunk.choices[0].delta.content or ""


class Ours(Subject):
    """Ask with this package: retries, breaker, slots, figures, and a deadline on top."""

    package: ClassVar[str] = "foundry_rest"
    settings: ClassVar[dict[str, object]] = {"dialect": "openai", "deadline": 60.0}

    def __init__(self, base: str) -> None:
        super().__init__(base)
        make: Callable[..., Any] = importlib.import_module("foundry_rest").FoundryAPIClient
        self._client = make(base, model=MODEL, **self.settings)

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        return str(self._client.complete(prompt, max_tokens=MAX_TOKENS).content)

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event."""
        for chunk in self._client.stream_complete(prompt, max_tokens=MAX_TOKENS):
            yield chunk.content

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def disconnect(self) -> None:
        """Drop the connections of the session beneath, as its own close does."""
        self._client._core.transport._session.close()  # noqa: SLF001 (no user needs this)


class OursBare(Ours):
    """Leave away what can be left away."""

    settings: ClassVar[dict[str, object]] = {"dialect": "openai", "retries": 0, "breaker": None}


class OursNative(Ours):
    """Find out that a 2.x service answers: a whole answer then runs over a stream."""

    settings: ClassVar[dict[str, object]] = {"deadline": 60.0}


SUBJECTS: dict[str, type[Subject]] = {
    "http.client": HttpClient,
    "http.client streamed": HttpClientStreamed,
    "http.client quickack": HttpClientQuick,
    "urllib3": Urllib3,
    "requests": Requests,
    "requests.Session": RequestsSession,
    "openai": OpenAI,
    "ollama": Ollama,
    "litellm": LiteLLM,
    "ours bare": OursBare,
    "ours": Ours,
    "ours 2.x": OursNative,
}


def is_installed(name: str) -> bool:
    """Tell whether a subject can take part here."""
    return importlib.util.find_spec(SUBJECTS[name].package) is not None
