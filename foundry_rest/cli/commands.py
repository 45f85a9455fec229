"""The table of commands, and the one place that translates errors into exit codes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial

from foundry_rest.cli.client import client_for
from foundry_rest.cli.exit_codes import exit_code_of, table_of
from foundry_rest.cli.failures import report
from foundry_rest.cli.models import download, load, models, unload
from foundry_rest.cli.output import facts_of, print_health, print_json
from foundry_rest.cli.prompt import read_prompt
from foundry_rest.cli.serve import serve
from foundry_rest.cli.streams import print_note, print_text, use_utf8_in_pipes
from foundry_rest.client import FoundryAPIClient
from foundry_rest.config import Config, from_env
from foundry_rest.errors import FoundryError
from foundry_rest.observe.log import configure_logging
from foundry_rest.runtime import demo_model_dir
from foundry_rest.schema import ChatReply
from foundry_rest.stream import ChatStream
from foundry_rest.transport.call_options import CallOptions


def run(arguments: Namespace) -> int:
    """Run the command named by the arguments and return its exit code."""
    use_utf8_in_pipes()
    arguments.items = {}
    try:
        return _watched(arguments)(arguments)
    except FoundryError as error:  # of the textfile or the ping itself
        return _told(error, arguments)


def _watched(arguments: Namespace) -> Callable[[Namespace], int]:
    """Return what runs the command, with those around it whom its arguments want to know how it ends."""
    command = _run
    if getattr(arguments, "dry_run", False):
        return command
    if getattr(arguments, "metrics_textfile", None) is not None:
        from foundry_rest.cli.textfile import recorded

        command = partial(recorded, command)
    if getattr(arguments, "ping", None) is not None:
        from foundry_rest.cli.ping import pinged

        command = partial(pinged, command)
    return command


def _run(arguments: Namespace) -> int:
    try:
        if arguments.command != "doctor":  # which tells what is wrong with the settings, and all else
            _start_log(as_json=getattr(arguments, "json", False))
        return _COMMANDS[arguments.command](arguments) or 0
    except FoundryError as error:
        return _told(error, arguments)


def _told(error: FoundryError, arguments: Namespace) -> int:
    """Tell an error in the form that the command was asked for, and return its exit code."""
    text = f"foundry-rest: {error.for_command(arguments.command, in_lines=sys.stderr.isatty())}"
    code = exit_code_of(error, table_of(arguments.command))
    if arguments.command == "check":
        print_text(f"FOUNDRY UNKNOWN: {error.message}")
    as_json = getattr(arguments, "json", False)
    return report(text, facts_of(error, arguments.command), code, as_json=as_json)


def _start_log(*, as_json: bool) -> None:
    """Log to stderr; where a program reads it as JSON, only if another level than the default is set."""
    level = from_env().log_level
    if not as_json or level != Config().log_level:
        configure_logging(level)


def _demo(_: Namespace) -> None:
    print_note("Starting the embedded Foundry Local runtime with the demo model (a memorised toy) ...")
    with FoundryAPIClient.embedded([demo_model_dir()]) as client:
        client.models.ensure_loaded(demo_model_dir().name)
        question = "Explain quantum computing"
        print_note(f"\n> {question}")
        print_text(client.complete(question, temperature=0).content)
        story = "Write a story about AI"
        print_note(f"\n> {story}  (streamed)")
        _print_stream(client.stream_complete(story, temperature=0))
        print_note("\nhealth:")
        print_health(client.health_check(), sys.stderr)
        print_note("\nfigures:")
        print_note(str(client.stats()))


def _batch(arguments: Namespace) -> int:
    from foundry_rest.cli.batch import batch  # sqlite, csv and the plots are for this command alone

    return batch(arguments)


def _cache(arguments: Namespace) -> None:
    from foundry_rest.cli.cache import cache  # sqlite is for this command and for batch alone

    cache(arguments)


def _chat(arguments: Namespace) -> None:
    prompt = read_prompt(arguments.prompt)
    params = {
        name: getattr(arguments, name)
        for name in ("model", "system", "max_tokens", "temperature")
        if getattr(arguments, name) is not None
    }
    with client_for(arguments) as client:
        try:
            if arguments.json:
                print_json(client.chat.complete(prompt, **params).to_dict())
            elif arguments.no_stream:
                _print_whole(lambda: client.chat.complete(prompt, **params))
            else:
                _print_stream(client.chat.stream(prompt, **params))
        finally:
            if arguments.stats:
                print_note(f"\n{client.stats()}")


def _check(arguments: Namespace) -> int:
    from foundry_rest.cli.check import check  # for this command alone

    return check(arguments)


def _monitor(arguments: Namespace) -> int:
    from foundry_rest.cli.monitor import monitor  # for this command alone

    return monitor(arguments)


def _doctor(arguments: Namespace) -> int:
    from foundry_rest.cli.doctor import doctor  # for this command alone

    return doctor(arguments)


def _bench(arguments: Namespace) -> int:
    from foundry_rest.cli.bench import bench  # for this command alone

    return bench(arguments)


def _health(arguments: Namespace) -> None:
    with client_for(arguments) as client:
        report = client.health.check(**_given_timeout(arguments))
        if arguments.json:
            print_json(report.to_dict())
        else:
            print_health(report, sys.stdout)


def _given_timeout(arguments: Namespace) -> CallOptions:
    """Return the option, if it is given; else health has a time-out of its own, shorter than a chat's."""
    return {} if arguments.timeout is None else {"timeout": arguments.timeout}


def _serve(arguments: Namespace) -> None:
    demo = [str(demo_model_dir())] if arguments.demo else []
    serve([*arguments.model_dir, *demo], arguments.host, arguments.port, arguments.load)


def _url(arguments: Namespace) -> None:
    with client_for(arguments) as client:
        client.health.check(**_given_timeout(arguments))
        print_text(client.url or "")


_COMMANDS: dict[str, Callable[[Namespace], int | None]] = {
    "batch": _batch,
    "cache": _cache,
    "demo": _demo,
    "chat": _chat,
    "models": models,
    "load": load,
    "unload": unload,
    "download": download,
    "health": _health,
    "check": _check,
    "doctor": _doctor,
    "monitor": _monitor,
    "bench": _bench,
    "serve": _serve,
    "url": _url,
}


def _print_whole(complete: Callable[[], ChatReply]) -> None:
    """Print the answer, or the part of it that came before an error."""
    try:
        reply = complete()
    except FoundryError as error:
        if text := getattr(error, "text", ""):
            print_text(text)
        raise
    print_text(reply.content)
    _warn_if_truncated(reply.finish_reason)


def _print_stream(stream: ChatStream) -> None:
    with stream:
        try:
            for chunk in stream:
                print_text(chunk.content, end="")
        finally:
            if stream.text and not stream.text.endswith("\n"):
                print_text("")
    _warn_if_truncated(stream.finish_reason)


def _warn_if_truncated(finish_reason: str | None) -> None:
    if finish_reason == "length":
        print_note("foundry-rest: the answer was cut at the limit; give a larger --max-tokens.")
