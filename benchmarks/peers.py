"""What clients make of a server that fails: `python benchmarks/peers.py [--markdown]`.

Each peer that is installed asks a fault server of `foundry_rest.testing` the same question, with its own
defaults, and what its caller gets is printed. docs/explanation/comparison.md holds the table of the last run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from foundry_rest.testing import (
    DEMO_MODEL,
    MALFORMED,
    FaultServer,
    Script,
    chat_events,
    chat_stream,
    cut,
    error_event,
    html_page,
    sse,
    unavailable,
)

CHAT = "/v1/chat/completions"
PROMPT = "Say OK"
WORDS = chat_events("one two", finish=None, usage=False)
#: What goes wrong -> what the server sends.
FAULTS: dict[str, Script] = {
    "the stream ends early, cleanly": sse(WORDS, done=False),
    "the connection is cut": chat_stream("one two three")[:4] + cut(),
    "an error event ends the stream": sse((*WORDS, error_event()), done=False),
    "a malformed event": sse((*WORDS, MALFORMED), done=False),
    "status 200 with an HTML page": html_page(),
}
#: Asks a server's address and a model by a stream, and yields the pieces of text.
Asker = Callable[[str, str], Iterator[str]]


def by_foundry_rest(url: str, model: str) -> Iterator[str]:
    """Ask as this package does."""
    from foundry_rest import FoundryAPIClient

    with FoundryAPIClient(url, model=model) as client:
        for chunk in client.stream_complete(PROMPT):
            yield chunk.content


def by_openai(url: str, model: str) -> Iterator[str]:
    """Ask as openai does."""
    client: Any = importlib.import_module("openai").OpenAI(base_url=f"{url}/v1", api_key="none")
    yield from _pieces(client.chat.completions.create(model=model, messages=_messages(), stream=True))


def by_litellm(url: str, model: str) -> Iterator[str]:
    """Ask as litellm does."""
    library: Any = importlib.import_module("litellm")
    library.suppress_debug_info = True
    yield from _pieces(
        library.completion(
            model=f"openai/{model}",
            api_base=f"{url}/v1",
            api_key="none",
            messages=_messages(),
            stream=True,
        )
    )


def by_requests(url: str, model: str) -> Iterator[str]:
    """Ask as the manual of OpenAI's protocol is followed by hand."""
    import requests

    body = {"model": model, "messages": _messages(), "stream": True}
    with requests.post(f"{url}{CHAT}", json=body, stream=True, timeout=30) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                for choice in json.loads(line[6:]).get("choices", []):
                    yield choice["delta"].get("content") or ""


PEERS: dict[str, Asker] = {
    "foundry_rest": by_foundry_rest,
    "openai": by_openai,
    "litellm": by_litellm,
    "requests": by_requests,
}


def outcome(ask: Asker, script: Script) -> str:
    """Return what a caller gets of a server that answers so: an error's class, or a success."""
    with FaultServer() as server:
        server.on("POST", CHAT, *[script] * 9)
        return _outcome(ask, server.url)


def tries(ask: Asker) -> str:
    """Return how often a server that is not available is asked, and what the caller gets."""
    with FaultServer() as server:
        server.on("POST", CHAT, *[unavailable()] * 9)
        what = _outcome(ask, server.url)
        return f"{what}, asked {len(server.asked(CHAT))} x"


def past_a_proxy(ask: Asker) -> str:
    """Return what happens where the environment names a proxy at which nobody listens."""
    before = {name: os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY")}
    os.environ |= {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    os.environ.pop("no_proxy", None)
    os.environ.pop("NO_PROXY", None)
    try:
        return outcome(ask, chat_stream("one two"))
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def by_name(ask: Asker, model: str, *, loaded: bool) -> str:
    """Return what a healthy service gives for a model, in memory or not."""
    # Without a catalog file on this disk an id tells no other alias than its own name.
    aliases = dict.fromkeys(("demo", DEMO_MODEL.partition(":")[0]), DEMO_MODEL)
    with FaultServer(models=aliases, loaded=None if loaded else []) as server:
        return _outcome(ask, server.url, model)


def _outcome(ask: Asker, url: str, model: str = DEMO_MODEL) -> str:
    text = ""
    try:
        for piece in ask(url, model):
            text += piece
    except Exception as error:  # noqa: BLE001 (whatever a peer raises is its outcome)
        kept = " with the text" if text and text in _texts(error) else ""
        return f"`{type(error).__name__}`{kept}"
    return f"success: {text!r}"


def _texts(error: Exception) -> list[object]:
    """Return where an error may keep the part of the answer that had come: ours, and litellm's."""
    return [getattr(error, name, "") for name in ("text", "generated_content")]


def _messages() -> list[dict[str, str]]:
    return [{"role": "user", "content": PROMPT}]


def _pieces(stream: Any) -> Iterator[str]:
    for chunk in stream:
        for choice in chunk.choices or ():
            yield choice.delta.content or ""


def rows(names: list[str]) -> Iterator[list[str]]:
    """Yield the table: what goes wrong, then what each peer's caller gets."""
    # First: a client that a library keeps for later would have been made without the proxy.
    yield ["a proxy in the environment", *(past_a_proxy(PEERS[name]) for name in names)]
    for fault, script in FAULTS.items():
        yield [fault, *(outcome(PEERS[name], script) for name in names)]
    alias = DEMO_MODEL.partition("-")[0]
    yield ["is asked for an alias", *(by_name(PEERS[name], alias, loaded=True) for name in names)]
    yield ["has the model not in memory", *(by_name(PEERS[name], DEMO_MODEL, loaded=False) for name in names)]
    yield ["status 503", *(tries(PEERS[name]) for name in names)]


def installed() -> list[str]:
    """Return the peers that are installed, in the order of the table."""
    found = []
    for name in PEERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            found.append(name)
    return found


def main() -> int:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    names = installed()
    print("| the server |", " | ".join(f"{name} {importlib.metadata.version(name)}" for name in names), "|")
    print("|---" * (len(names) + 1) + "|")
    for row in rows(names):
        print("|", " | ".join(row), "|", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
