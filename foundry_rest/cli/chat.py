"""The command ``chat``: one question, or a conversation on a terminal."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, closing

from foundry_rest.cli.answer_output import printer_for
from foundry_rest.cli.answering import Answers
from foundry_rest.cli.client import client_for
from foundry_rest.cli.conversation import Conversation
from foundry_rest.cli.prompt import read_prompt
from foundry_rest.cli.streams import print_note
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import ConfigError

#: Options that cannot stand together, each with those that it refuses.
_ALONE = {
    "image": ("schema", "tool", "keep", "continues", "json", "no_stream"),
    "audio": ("schema", "tool", "keep", "continues", "json", "no_stream"),
    "tool": ("schema", "json"),
}
_SPELT = {"continues": "-c", "no_stream": "--no-stream"}


def chat(arguments: Namespace) -> None:
    """Ask one question, or talk until the person at the terminal ends it."""
    _check(arguments)
    is_talk = is_conversation(arguments)
    question = "" if is_talk else read_prompt(arguments.prompt)
    with ExitStack() as open_until_the_end:
        fill, answers_of = _prepared(arguments)
        conversation = _conversation(arguments, open_until_the_end)
        client = open_until_the_end.enter_context(client_for(arguments))
        if arguments.stats:
            open_until_the_end.callback(lambda: print_note(f"\n{client.stats()}"))
        answers = answers_of(client)
        if is_talk:
            _talk(conversation, answers, fill, client.model)
        else:
            _ask_once(conversation, answers, fill(question))


def is_conversation(arguments: Namespace) -> bool:
    """Return whether a person is at both ends of the terminal, and has asked for no single answer."""
    is_single = arguments.prompt is not None or arguments.json or arguments.image or arguments.audio
    has_stdin = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    return not is_single and has_stdin and sys.stdout.isatty()


def _check(arguments: Namespace) -> None:
    """Raise ConfigError for options that cannot stand together."""
    for option, others in _ALONE.items():
        wrong = next((each for each in others if getattr(arguments, each)), None)
        if getattr(arguments, option) and wrong:
            raise ConfigError(f"--{option} cannot be given with {_SPELT.get(wrong, f'--{wrong}')}")


def _prepared(arguments: Namespace) -> tuple[Callable[[str], str], Callable[[FoundryAPIClient], Answers]]:
    """Return what fills the template and what makes the answers; all files are read and checked by then."""
    from foundry_rest.cli.chat_input import audio_parts, functions_named, image_parts, read_template

    fill = read_template(arguments.template)
    functions = functions_named(arguments.tool)
    media = [*image_parts(arguments.image), *audio_parts(arguments.audio)]
    schema = None
    if arguments.schema is not None:
        from foundry_rest.cli.json_schema import type_from  # jsonschema is for this alone

        schema = type_from(arguments.schema)
    printer = printer_for(is_plain=arguments.plain)
    return fill, lambda client: Answers(
        client, arguments, printer, schema=schema, functions=functions, media=media
    )


def _conversation(arguments: Namespace, open_until_the_end: ExitStack) -> Conversation:
    """Return the conversation: a new one, or the last, kept where that was asked for."""
    conversation = Conversation()
    if arguments.keep or arguments.continues:
        from foundry_rest.cli.conversation_files import conversation_of, last, new

        file = last() if arguments.continues else new()
        open_until_the_end.enter_context(closing(file))
        conversation = conversation_of(file, is_new=not arguments.continues)
    given = {name: getattr(arguments, name) for name in ("model", "system")}
    changed = {
        name: value for name, value in given.items() if value not in (None, getattr(conversation, name))
    }
    if changed:
        conversation.change(**changed)
    return conversation


def _ask_once(conversation: Conversation, answers: Answers, question: str) -> None:
    if not conversation.is_answered:
        conversation.take_back()
    conversation.add({"role": "user", "content": question})
    answered = answers(conversation)
    if answered.messages:
        conversation.add(*answered.messages)
    else:
        conversation.take_back()
    if answered.error is not None:
        raise answered.error


def _talk(
    conversation: Conversation, answers: Answers, fill: Callable[[str], str], default_model: str
) -> None:
    from foundry_rest.cli.conversation_loop import TerminalTalk
    from foundry_rest.cli.conversation_reader import line_reader  # prompt_toolkit is for a terminal alone

    talk = TerminalTalk(conversation, answers, line_reader(conversation.questions), default_model, fill)
    asked = len(conversation.questions)
    print_note(f"Talking to {conversation.model or default_model}; /help lists the commands, Ctrl-D ends.")
    if asked:
        print_note(f"Going on after {asked} question{'s' if asked > 1 else ''}.")
    talk.run()
