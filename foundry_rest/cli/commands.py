"""The table of commands, and the one place that translates errors into exit codes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable

import msgspec

from foundry_rest.cli.advice import reword_advice
from foundry_rest.cli.client import client_for
from foundry_rest.cli.exit_codes import exit_code_of
from foundry_rest.cli.models import download, load, models, unload
from foundry_rest.cli.output import print_health, print_json, print_note, print_stats, to_dict
from foundry_rest.cli.serve import serve
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.observe.log import configure_logging
from foundry_rest.runtime import demo_model_dir
from foundry_rest.schema import ChatReply
from foundry_rest.stream import ChatStream


def run(arguments: Namespace) -> int:
    """Run the command named by the arguments and return its exit code."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        configure_logging()
        _COMMANDS[arguments.command](arguments)
    except FoundryError as error:
        print_note(f"foundry-rest: {reword_advice(error)}")
        return exit_code_of(error)
    return 0


def _demo(_: Namespace) -> None:
    print_note("Starting the embedded Foundry Local runtime with the demo model (a memorised toy) ...")
    with FoundryAPIClient.embedded([demo_model_dir()]) as client:
        client.models.ensure_loaded(demo_model_dir().name)
        question = "Explain quantum computing"
        print_note(f"\n> {question}")
        print(client.complete(question, temperature=0).content, flush=True)
        story = "Write a story about AI"
        print_note(f"\n> {story}  (streamed)")
        _print_stream(client.stream_complete(story, temperature=0))
        print_note("\nhealth:")
        print_health(client.health_check(), sys.stderr)
        print_note("\nfigures:")
        print_stats(client.stats(), sys.stderr)


def _chat(arguments: Namespace) -> None:
    prompt = _read_prompt(arguments.prompt)
    params = {
        name: getattr(arguments, name)
        for name in ("model", "system", "max_tokens", "temperature")
        if getattr(arguments, name) is not None
    }
    with client_for(arguments) as client:
        if arguments.json:
            _print_reply(client.chat.complete(prompt, **params))
        elif arguments.no_stream:
            reply = client.chat.complete(prompt, **params)
            print(reply.content)
            _warn_if_truncated(reply.finish_reason)
        else:
            _print_stream(client.chat.stream(prompt, **params))


def _health(arguments: Namespace) -> None:
    with client_for(arguments) as client:
        # Without the option, health has a time-out of its own, shorter than a chat's.
        given = {} if arguments.timeout is None else {"timeout": arguments.timeout}
        report = client.health.check(**given)
        if arguments.json:
            print_json(to_dict(report, exclude={"raw", "headers"}))
        else:
            print_health(report, sys.stdout)


def _serve(arguments: Namespace) -> None:
    serve(arguments.model_dir, arguments.host, arguments.port)


_COMMANDS: dict[str, Callable[[Namespace], None]] = {
    "demo": _demo,
    "chat": _chat,
    "models": models,
    "load": load,
    "unload": unload,
    "download": download,
    "health": _health,
    "serve": _serve,
}


def _read_prompt(given: str | None) -> str:
    if given is not None and given != "-":
        return _checked_text(given)
    if sys.stdin is None or sys.stdin.closed:
        raise ConfigError("there is no prompt: give it as an argument or on stdin")
    if sys.stdin.isatty():
        print_note("Reading the prompt from the terminal; end it with Ctrl-D (Windows: Ctrl-Z, Enter).")
    try:
        content = sys.stdin.buffer.read()
    except OSError as error:
        raise ConfigError(f"stdin cannot be read: {error.strerror}") from error
    try:
        # The line end comes from the shell (``echo``) and is no part of the prompt.
        return content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the prompt on stdin is not UTF-8 (byte {error.start})") from None


def _checked_text(given: str) -> str:
    """Return the prompt, or raise ConfigError: Python decodes undecodable bytes to lone surrogates."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"the prompt is not text in this terminal's encoding (character {error.start})"
        ) from None
    return given


def _print_stream(stream: ChatStream) -> None:
    with stream:
        try:
            for chunk in stream:
                sys.stdout.write(chunk.content)
                sys.stdout.flush()
        finally:
            if stream.text and not stream.text.endswith("\n"):
                print(flush=True)
    _warn_if_truncated(stream.finish_reason)


def _warn_if_truncated(finish_reason: str | None) -> None:
    if finish_reason == "length":
        print_note("foundry-rest: the answer was cut at the limit; give a larger --max-tokens.")


def _print_reply(reply: ChatReply) -> None:
    wanted = ("content", "finish_reason", "model", "tool_calls", "reasoning", "elapsed", "first_token")
    usage = msgspec.structs.asdict(reply.usage)
    print_json({**{name: getattr(reply, name) for name in wanted}, "usage": usage})
