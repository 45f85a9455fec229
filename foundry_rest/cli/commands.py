"""The table of commands, and the one place that translates errors into exit codes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from importlib import import_module

from foundry_rest.cli.answer_output import as_it_comes
from foundry_rest.cli.client import client_for
from foundry_rest.cli.exit_codes import exit_code_of, table_of
from foundry_rest.cli.failures import report
from foundry_rest.cli.models import download, load, models, show, unload
from foundry_rest.cli.output import facts_of, print_health, print_json
from foundry_rest.cli.serve import serve
from foundry_rest.cli.streams import print_note, print_text, use_utf8_in_pipes
from foundry_rest.client import FoundryAPIClient
from foundry_rest.config import Config, from_env
from foundry_rest.errors import FoundryError
from foundry_rest.observe.log import configure_logging
from foundry_rest.runtime import demo_model_dir
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
    if getattr(arguments, "splay", None) is not None:
        from foundry_rest.cli.splay import splayed

        command = partial(splayed, command)
    return command


def _run(arguments: Namespace) -> int:
    try:
        if arguments.command != "doctor":  # which tells what is wrong with the settings, and all else
            _start_log(arguments)
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


def _start_log(arguments: Namespace) -> None:
    """Log to stderr; where a program reads it as JSON, only if another level than the default is set."""
    level = "DEBUG" if getattr(arguments, "verbose", False) else from_env().log_level
    if not getattr(arguments, "json", False) or level != Config().log_level:
        configure_logging(level)


_QUESTION, _STORY = "Explain quantum computing", "Write a story about AI"


def _demo(arguments: Namespace) -> None:
    if not arguments.json:
        print_note("Starting the embedded Foundry Local runtime with the demo model (a memorised toy) ...")
    with FoundryAPIClient.embedded([demo_model_dir()]) as client:
        client.models.ensure_loaded(demo_model_dir().name)
        (_demo_as_json if arguments.json else _demo_as_text)(client)


def _demo_as_text(client: FoundryAPIClient) -> None:
    print_note(f"\n> {_QUESTION}")
    print_text(client.complete(_QUESTION, temperature=0).content)
    print_note(f"\n> {_STORY}  (streamed)")
    with client.stream_complete(_STORY, temperature=0) as stream, as_it_comes() as write:
        for chunk in stream:
            write(chunk.content)
    print_note("\nhealth:")
    print_health(client.health_check(), sys.stderr)
    print_note("\nfigures:")
    print_note(str(client.stats()))


def _demo_as_json(client: FoundryAPIClient) -> None:
    answers = [client.complete(prompt, temperature=0).to_dict() for prompt in (_QUESTION, _STORY)]
    health, figures = client.health_check().to_dict(), client.stats().to_dict()
    print_json({"answers": answers, "health": health, "figures": figures})


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
    folders = [*arguments.model_dir, *demo]
    serve(folders, arguments.host, arguments.port, arguments.load, as_json=arguments.json)


def _url(arguments: Namespace) -> None:
    with client_for(arguments) as client:
        client.health.check(**_given_timeout(arguments))
        if arguments.json:
            print_json({"url": client.url})
        else:
            print_text(client.url or "")


def _alone(name: str) -> Callable[[Namespace], int | None]:
    """Return a command whose module, of the same name, is imported with what it needs when it is run."""

    def command(arguments: Namespace) -> int | None:
        code: int | None = getattr(import_module(f"foundry_rest.cli.{name}"), name)(arguments)
        return code

    return command


_COMMANDS: dict[str, Callable[[Namespace], int | None]] = {
    "batch": _alone("batch"),
    "cache": _alone("cache"),
    "demo": _demo,
    "chat": _alone("chat"),
    "embed": _alone("embed"),
    "transcribe": _alone("transcribe"),
    "models": models,
    "show": show,
    "load": load,
    "unload": unload,
    "download": download,
    "health": _health,
    "check": _alone("check"),
    "doctor": _alone("doctor"),
    "monitor": _alone("monitor"),
    "bench": _alone("bench"),
    "serve": _serve,
    "url": _url,
    "completion": _alone("completion"),
    "help": _alone("help"),
    "logs": _alone("logs"),
}
