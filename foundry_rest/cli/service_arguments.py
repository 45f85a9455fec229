"""The arguments of the commands about the service itself."""

from __future__ import annotations

import argparse

from foundry_rest.cli.options import add_options, add_service_options


def add_demo(demo: argparse.ArgumentParser) -> None:
    """Add the arguments of ``demo``."""
    add_options(demo, "json", "verbose")


def add_health(health: argparse.ArgumentParser) -> None:
    """Add the arguments of ``health``."""
    add_options(health, "json")
    add_service_options(health)


def add_url(url: argparse.ArgumentParser) -> None:
    """Add the arguments of ``url``."""
    add_options(url, "json")
    add_service_options(url)


def add_logs(logs: argparse.ArgumentParser) -> None:
    """Add the arguments of ``logs``."""
    add_options(
        logs, "lines", "follow", json="print file and lines as JSON; with -f a line for each addition"
    )
    logs.set_defaults(lines=20)
    add_service_options(logs)


def add_serve(serve: argparse.ArgumentParser) -> None:
    """Add the arguments of ``serve``."""
    serve.description = f"{serve.description} It prints its address and tells other programs of this user."
    serve.add_argument(
        "--model-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="ONNX Runtime GenAI folder to serve; may be repeated (default: the public catalog)",
    )
    serve.add_argument("--demo", action="store_true", help="serve the built-in demo model, a memorised toy")
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    serve.add_argument(
        "--port", type=int, help="port to bind, 0 for a free one (default 26527, while taken a free one)"
    )
    serve.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="NAME",
        help="model to have in memory before the address is printed; may be repeated",
    )
    add_options(serve, json="print one JSON object with address, process and models")
