"""The catalog that the native runtime asks for, made from model directories and served to it.

The runtime's web service shows only what a catalog lists. This one is a single reply, the same for
every request, in the flat shape: from an entry that also has ``annotations`` or ``properties`` the runtime
silently drops the task and the limits.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from foundry_rest.runtime.model_folders import CONFIG_FILE, ModelFolder
from foundry_rest.runtime.model_links import PUBLISHER

#: The only path that 2.x accepts as a catalog's address.
CATALOG_PATH = "/asset-gallery/v1.0/models"
SPEECH = "automatic-speech-recognition"
#: Assumed when ``genai_config.json`` says neither ``context_length`` nor ``max_length``.
DEFAULT_CONTEXT = 2048
#: How an output named ``hidden_states`` begins in an ONNX file: field 12 of the graph, its length, its name.
_HIDDEN_STATES = re.compile(rb"\x62[\x80-\xff]?[\x00-\x7f]\x0a\x0dhidden_states\x12")
#: Bytes at a file's end that are searched: outputs come after the weights.
_GRAPH_END = 8 * 1024 * 1024
#: Where a tokenizer lists its tokens; a chat template may mention one that the tokenizer does not have.
_TOKEN_FILES = ("tokenizer.json", "added_tokens.json", "special_tokens_map.json", "vocab.json")


def reply(folders: tuple[ModelFolder, ...]) -> bytes:
    """Return the catalog's reply, which lists all the models."""
    entries = [entry(folder) for folder in folders]
    return json.dumps({"summaries": entries, "totalCount": len(entries)}).encode()


def entry(folder: ModelFolder) -> dict[str, object]:
    """Return one model's catalog entry."""
    task = task_of(folder)
    return {
        "assetId": _asset_id(folder.name),
        "name": folder.name,
        "displayName": folder.path.name,
        "version": "1",
        "publisher": PUBLISHER,
        "license": "see the model directory",
        "inferenceTasks": [task],
        "modelCapabilities": [task, *(["tool-calling"] if supports_tools(folder) else [])],
        "createdTime": _modified_at(folder),
        "modelLimits": _limits(folder),
        "variantInformation": _variant(folder),
    }


def task_of(folder: ModelFolder) -> str:
    """Return the task; the runtime checks it for speech only, so a chat model may embed."""
    if folder.section("model").get("type") == "whisper":
        return SPEECH
    return "embeddings" if _has_hidden_states(folder) else "chat-completion"


def context_length(folder: ModelFolder) -> int:
    """Return how many tokens prompt and answer may have together.

    It is the smaller of ``model.context_length`` and ``search.max_length``: the runtime enforces the latter
    (Foundry-Local issue 1067).
    """
    limits = (folder.section("model").get("context_length"), folder.section("search").get("max_length"))
    return min((n for n in limits if isinstance(n, int) and n > 0), default=DEFAULT_CONTEXT)


def supports_tools(folder: ModelFolder) -> bool:
    """Return whether the model has a token with which it starts a tool call.

    Clients read this; the runtime itself looks only for the token's id, in ``genai_config.json`` or the id
    that Qwen2 uses.
    """
    if isinstance(folder.section("model").get("bot_token_id"), int):
        return True
    files = (folder.path / name for name in _TOKEN_FILES)
    return any(file.is_file() and b'"<tool_call>"' in file.read_bytes() for file in files)


class CatalogServer:
    """A server with one reply to every request, on a port of 127.0.0.1 that the system chooses."""

    def __init__(self, body: bytes) -> None:
        handler = type("CatalogHandler", (_Handler,), {"body": body})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="foundry-rest-catalog", daemon=True
        )

    @property
    def url(self) -> str:
        """Return the address to give the runtime."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{CATALOG_PATH}"

    def start(self) -> CatalogServer:
        """Start answering."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop answering and release the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    """A TCP server with one thread for each connection."""

    # Not http.server.HTTPServer: it looks up the host's name in the DNS before it listens.
    daemon_threads = True
    request_queue_size = 32


class _Handler(BaseHTTPRequestHandler):
    """One connection from the native runtime."""

    body = b""
    # HTTP/1.0 closes each connection: when an idle one was closed under the native client, it waited
    # 30 s before it asked again.
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        self.rfile.read(int(length) if length.isdigit() else 0)
        if self.path != CATALOG_PATH:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the child's standard error is kept for failures."""


def _asset_id(name: str) -> str:
    return f"azureml://registries/azureml/models/{name}/versions/1"


def _modified_at(folder: ModelFolder) -> str:
    at = (folder.path / CONFIG_FILE).stat().st_mtime
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _limits(folder: ModelFolder) -> dict[str, object]:
    context = context_length(folder)
    model = folder.section("model")
    inputs = ["audio"] if task_of(folder) == SPEECH else ["text", *(["image"] if "vision" in model else [])]
    return {
        "textLimits": {"inputContextWindow": context, "maxOutputTokens": context},
        "supportedInputModalities": inputs,
        "supportedOutputModalities": ["text"],
    }


def _variant(folder: ModelFolder) -> dict[str, object]:
    return {
        # The runtime takes the alias from the parent's name and from nothing else in an entry.
        "parents": [{"assetId": _asset_id(folder.alias)}],
        "variantMetadata": {
            "modelType": "ONNX",
            "device": "cpu",
            "executionProvider": "CPUExecutionProvider",
            "fileSizeBytes": sum((folder.path / file).stat().st_size for file in folder.files),
        },
    }


def _has_hidden_states(folder: ModelFolder) -> bool:
    """Return whether the model has the output that embeddings are read from.

    The model builder adds it without naming it in the configuration, where older runtimes refuse the name.
    """
    decoder = folder.section("model").get("decoder")
    if not isinstance(decoder, dict):
        return False
    outputs, file = decoder.get("outputs"), decoder.get("filename")
    if isinstance(outputs, dict) and "hidden_states" in (*outputs, *outputs.values()):
        return True
    return isinstance(file, str) and bool(_HIDDEN_STATES.search(_last_bytes(folder.path / file)))


def _last_bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(-min(file.stat().st_size, _GRAPH_END), os.SEEK_END)
        return opened.read()
