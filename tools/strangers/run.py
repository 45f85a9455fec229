"""Try the client on servers that nobody here wrote: `python tools/strangers/run.py`.

Each server is installed from PyPI into an environment of its own below `.test-envs/`, started on loopback
with a tiny model that is made here, and asked what users ask. `--write` puts the table into
docs/explanation/strangers.md. The first run takes long: llama-cpp-python is compiled, and PyTorch is large.
Not part of the gate.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foundry_rest import FoundryAPIClient, FoundryError, StreamInterrupted
from foundry_rest.runtime import LocalRuntime, demo_model_dir

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".test-envs"
PAGE = ROOT / "docs" / "explanation" / "strangers.md"
#: Seconds that a server may take to start.
STARTING = 180
#: litellm wants one; the others ignore it.
KEY = f"sk-{secrets.token_hex(16)}"
QUESTION = "Tell me about Mars."
TEXT = """\
# Servers of other makers

What the client gets from servers that speak OpenAI's dialect and were written elsewhere, each with a tiny
model whose weights are random (litellm stands before Foundry Local with its demo model). Written by
`python tools/strangers/run.py --write`, which installs and starts them; the last run was with {versions}.

`ok` is the answer that was asked for; else the error that the client raised. An `InvalidReply` of a typed
answer is right where the server does not enforce the schema: a random model never writes JSON.
"""


@dataclass
class Answer:
    """A typed answer that is short in any model's mouth."""

    good: bool


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# ---------------------------------------------------------------- what is asked


def _health(client: FoundryAPIClient) -> str:
    report = client.health_check()
    return f"ok, {report.status}, {report.generation}"


def _models(client: FoundryAPIClient) -> str:
    return f"ok, {len(client.models.list())} listed"


def _complete(client: FoundryAPIClient) -> str:
    reply = client.complete(QUESTION, max_tokens=12)
    return f"ok, {reply.finish_reason}, {reply.usage.completion_tokens} tokens"


def _stream(client: FoundryAPIClient) -> str:
    with client.stream_complete(QUESTION, max_tokens=12) as stream:
        chunks = sum(bool(chunk.content) for chunk in stream)
    return f"ok, {stream.finish_reason}, {chunks} with text, {stream.usage.completion_tokens} tokens"


def _break_off(client: FoundryAPIClient) -> str:
    for _ in range(3):
        for chunk in client.stream_complete(QUESTION, max_tokens=200):
            if chunk.content:
                break
    return _complete(client)


def _tools(client: FoundryAPIClient) -> str:
    run = client.chat.run_tools("What is 1 + 2?", functions=[add], max_tokens=40, temperature=0)
    return f"ok, {len(run.calls)} calls"


def _forced_tool(client: FoundryAPIClient) -> str:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    reply = client.complete(QUESTION, tools=tools, tool_choice="required", max_tokens=40)
    return f"ok, {reply.tool_calls[0].name}"


def _typed(client: FoundryAPIClient) -> str:
    answer = client.complete("Is Mars red?", response_model=Answer, max_reasks=1, max_tokens=60)
    return f"ok, {answer!r}"


def _unknown_model(client: FoundryAPIClient) -> str:
    return f"answered: {client.complete(QUESTION, model='no-such-model', max_tokens=4).model}"


def _too_long(client: FoundryAPIClient) -> str:
    return f"answered: {client.complete('word ' * 6000, max_tokens=4).finish_reason}"


def _bad_temperature(client: FoundryAPIClient) -> str:
    client.complete(QUESTION, temperature=2, max_tokens=4)
    return "ok"


CHECKS: dict[str, Callable[[FoundryAPIClient], str]] = {
    "`health_check()`": _health,
    "`models.list()`": _models,
    "`complete()`": _complete,
    "`stream_complete()`": _stream,
    "three streams broken off, then `complete()`": _break_off,
    "`run_tools()`": _tools,
    '`tool_choice="required"`': _forced_tool,
    "`response_model=`": _typed,
    "an unknown model": _unknown_model,
    "a prompt of 6,000 words": _too_long,
    "`temperature=2`": _bad_temperature,
}


def ask(check: Callable[[FoundryAPIClient], str], client: FoundryAPIClient) -> str:
    """Return what came of a check: its result, or the error's class and message."""
    try:
        return check(client)
    except FoundryError as error:
        return f"`{type(error).__name__}`: {error.message[:90]}"


def kill_in_the_middle(server: Running) -> str:
    """Return what a stream says whose server is killed after the first text."""
    with FoundryAPIClient(server.url, model=server.model, api_key=KEY, retries=0) as client:
        try:
            for chunk in client.stream_complete(QUESTION, max_tokens=400):
                if chunk.content:
                    os.killpg(server.process.pid, signal.SIGKILL)
        except StreamInterrupted as error:
            return f"`StreamInterrupted` with {len(error.text)} characters"
        except FoundryError as error:
            return f"`{type(error).__name__}`: {error.message[:90]}"
    return "ended as if it were whole, or before it could be killed"


# ---------------------------------------------------------------- the servers


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    url: str
    model: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Server:
    """A server from PyPI.

    Attributes:
        package: The package that is looked at.
        requirements: What is installed.
        start: Takes the environment's bin directory, a directory for files and a port; makes the model and
            returns the command that starts the server, and the model's name.
    """

    package: str
    requirements: tuple[str, ...]
    start: Callable[[Path, Path, int], tuple[list[str], str]]


def _transformers(bin: Path, directory: Path, port: int) -> tuple[list[str], str]:
    model = directory / "model"
    subprocess.run([bin / "python", HERE / "make_transformers_model.py", model], check=True, timeout=300)
    command = [str(bin / "transformers"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--device", "cpu"], str(model)


def _llama(bin: Path, directory: Path, port: int) -> tuple[list[str], str]:
    model = directory / "tiny.gguf"
    subprocess.run([bin / "python", HERE / "make_llama_model.py", model], check=True, timeout=300)
    command = [str(bin / "python"), "-m", "llama_cpp.server", "--model", str(model), "--n_ctx", "512"]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--model_alias", "tiny"], "tiny"


def _litellm(bin: Path, directory: Path, port: int) -> tuple[list[str], str]:
    """Put litellm's proxy before Foundry Local with the demo model."""
    runtime = LocalRuntime(demo_model_dir())
    runtime.start()
    with FoundryAPIClient(runtime.url) as client:
        loaded = client.models.load("demo-chat").id
    settings = {"model": f"openai/{loaded}", "api_base": f"{runtime.url}/v1", "api_key": "none"}
    file = directory / "config.yaml"  # JSON is YAML, too
    file.write_text(json.dumps({"model_list": [{"model_name": "demo", "litellm_params": settings}]}))
    return [str(bin / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)], "demo"


SERVERS = {
    "transformers serve": Server("transformers", ("torch==2.13.0", "transformers[serving]"), _transformers),
    "llama-cpp-python": Server("llama-cpp-python", ("llama-cpp-python[server]", "gguf"), _llama),
    "litellm": Server("litellm", ("litellm[proxy]",), _litellm),
}


def environment(server: Server) -> Path:
    """Return the bin directory of the server's environment, which is made at the first time."""
    place = ENVIRONMENTS / f"stranger-{server.package}"
    if not (place / "done").exists():
        print(f"installing {', '.join(server.requirements)} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        for requirement in server.requirements:
            subprocess.run([place / "bin" / "pip", "install", "--quiet", requirement], check=True)
        (place / "done").touch()
    return place / "bin"


@contextmanager
def started(server: Server) -> Iterator[Running]:
    """Run a server with a model for a while."""
    with tempfile.TemporaryDirectory() as directory:
        bin = environment(server)
        command, model = server.start(bin, Path(directory), port := _free_port())
        settings = {
            "HF_HUB_OFFLINE": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": KEY,
            "NO_PROXY": "127.0.0.1",
            "HOME": directory,
        }
        with Path(directory, "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **settings},
                start_new_session=True,
            )
        try:
            _wait_for(port, process, Path(directory, "log"))
            yield Running(f"http://127.0.0.1:{port}", model, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTING
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"the server did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def column(server: Server) -> dict[str, str]:
    """Return what came of every check on one server."""
    with started(server) as running:
        with FoundryAPIClient(
            running.url, model=running.model, api_key=KEY, retries=1, timeout=60, deadline=120
        ) as client:
            # litellm loads half of itself at its first request, and stays broken if that is given up.
            client.models.list()
            found = {name: ask(check, client) for name, check in CHECKS.items()}
        found["the server is killed within a stream"] = kill_in_the_middle(running)
    return found


def version(server: Server) -> str:
    """Return the server's package and its version."""
    place = environment(server).parent
    paths = [str(path) for path in place.glob("lib/python*/site-packages")]
    (found,) = importlib.metadata.distributions(name=server.package, path=paths)
    return f"{server.package} {found.version}"


def table(columns: dict[str, dict[str, str]]) -> str:
    """Return the page."""
    rows = next(iter(columns.values()))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in rows:
        cells = " | ".join(found[name].replace("|", "/").replace("\n", " ") for found in columns.values())
        lines.append(f"| {name} | {cells} |")
    return (
        TEXT.format(versions=", ".join(version(SERVERS[name]) for name in columns))
        + "\n"
        + "\n".join(lines)
        + "\n"
    )


def main() -> None:
    """Ask every server, or those that are named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--write", action="store_true", help="write docs/explanation/strangers.md")
    given = parser.parse_args()
    page = table({name: column(SERVERS[name]) for name in given.names or SERVERS})
    print(page)
    if given.write:
        PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
