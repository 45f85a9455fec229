"""Run by a Python of its own with foundry-local-sdk 1.2.4, 2.0.1 or 2.1.0: its real web service, on loopback.

Reads one line of JSON from standard input, ``{"directory": ..., "models": [...], "catalog": true}``, lays out
a private model cache, serves a catalog of its own (``false``: nobody does), starts the web service on a free
port, and prints one line, ``{"url": ..., "pid": ...}``. It ends with its standard input, by ``os._exit``: 1.x
ignores SIGTERM.

A model is ``{"name", "alias", "version", "task", "path"}``; one without a path is in the catalog and not on
disk. The catalog is the one that all of them ask, until 2.2 (docs/reference/service.md, section 12).
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BASE = "/api/eastus/ux/v1.0"
PUBLISHER = "Local"
#: Settings of a model by which 2.2 knows tool calls.
NEWER = {"bot_token_id", "eot_token_id"}
IS_NATIVE = not importlib.metadata.version("foundry-local-sdk").startswith("1.")


def main() -> None:
    """Serve until standard input ends."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what the native library prints is no answer
    settings = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    models = settings["models"]
    url = serve(Path(settings["directory"]), models, catalog(models, answers=settings["catalog"]))
    os.write(answer, json.dumps({"url": url, "pid": os.getpid()}).encode() + b"\n")
    os.close(answer)
    threading.Event().wait()


def serve(directory: Path, models: list[dict[str, object]], catalog_url: str) -> str:
    """Start the web service with these models; return its address."""
    from foundry_local_sdk import Configuration, FoundryLocalManager

    for model in models:
        if model.get("path"):
            lay_out(directory / "cache", model)
    manager = FoundryLocalManager(
        Configuration(
            app_name="foundry_rest_tests",
            app_data_dir=str(directory / "data"),
            model_cache_dir=str(directory / "cache"),
            logs_dir=str(directory / "logs"),
            web=Configuration.WebService(urls="http://127.0.0.1:0"),
            **catalog_settings(catalog_url),
        )
    )
    manager.start_web_service()
    return manager.urls[0].rstrip("/")


def catalog_settings(url: str) -> dict[str, object]:
    """Return the settings that name the catalog, and keep Microsoft's from being asked for the region."""
    if IS_NATIVE:
        return {"catalog_urls": [(url, None)], "catalog_region": "local"}
    return {
        "additional_settings": {
            "AzureCatalogUri": url,
            "ModelRegistryRegion": "eastus",
            "DisableRegionFallback": "true",
        }
    }


def lay_out(cache: Path, model: dict[str, object]) -> None:
    """Put links to a model's files where they are looked for: on 1.x one directory below the model's own."""
    target = cache / PUBLISHER / f"{model['name']}-{model['version']}"
    if not IS_NATIVE:
        target /= f"v{model['version']}"
    target.mkdir(parents=True)
    for file in Path(str(model["path"])).iterdir():
        (target / file.name).symlink_to(file.resolve())
    forget_newer_settings(target / "genai_config.json")
    mark = target / "inference_model.json"
    mark.unlink(missing_ok=True)
    mark.write_text(json.dumps({"Name": f"{model['name']}:{model['version']}", "PromptTemplate": None}))


def forget_newer_settings(config: Path) -> None:
    """Put a configuration without 2.2's settings in a link's place: 1.x loads no model with unknown ones."""
    settings = json.loads(config.read_text("utf-8"))
    model = settings.get("model", {})
    if NEWER & model.keys():
        settings["model"] = {name: value for name, value in model.items() if name not in NEWER}
        config.unlink()
        config.write_text(json.dumps(settings), "utf-8")


def catalog(models: list[dict[str, object]], *, answers: bool) -> str:
    """Start a catalog that gives one reply to every question, or give its port back; return its address."""
    body = json.dumps({"indexEntitiesResponse": {"totalCount": len(models), "value": [*map(entry, models)]}})
    handler = type("Handler", (_Handler,), {"body": body.encode()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if answers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    else:
        server.server_close()
    return f"http://127.0.0.1:{server.server_address[1]}{BASE}"


def entry(model: dict[str, object]) -> dict[str, object]:
    """Return one model as 1.x's catalog describes it."""
    name, alias, version = model["name"], model["alias"], model["version"]
    asset = f"azureml://registries/azureml/models/{name}/versions/{version}"
    parent = f"azureml://registries/azureml/models/{alias}/versions/1"
    return {
        "assetId": asset,
        "entityId": f"azureml://local/{name}/{version}",
        "annotations": {
            "tags": {
                "alias": alias,
                "task": model["task"],
                "author": PUBLISHER,
                "license": "MIT",
                "foundryLocal": "",
                "supportsToolCalling": str(bool(model.get("tools"))).lower(),
            },
            "systemCatalogData": {"publisher": PUBLISHER, "displayName": name, "maxOutputTokens": 512},
        },
        "properties": {
            "id": asset,
            "name": name,
            "version": version,
            "creationContext": {"createdTime": "2026-01-15T10:30:00Z"},
            "variantInfo": {
                "parents": [{"assetId": parent}],
                "variantMetadata": {
                    "modelType": "ONNX",
                    "device": "cpu",
                    "executionProvider": "CPUExecutionProvider",
                    "fileSizeBytes": 1_700_000,
                },
            },
        },
    }


class _Handler(BaseHTTPRequestHandler):
    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
