"""A conversation on a terminal: read, ask, print, until the person ends it."""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest.cli.answering import Answered
from foundry_rest.cli.conversation import Conversation
from foundry_rest.cli.conversation_commands import Ended, command_in, run_command
from foundry_rest.cli.streams import print_note
from foundry_rest.errors import FoundryError

#: What a text of several lines is put between.
_FENCE = '"""'
_PROMPT, _MORE = "> ", "... "


class TerminalTalk:
    """A conversation with a person at a terminal.

    Args:
        conversation: What was said so far.
        answer: Asks what is in the conversation, prints the answer, and returns what came.
        read: Reads one line or more, after a prompt; raises EOFError at the end and KeyboardInterrupt.
        default_model: The model that is asked where the conversation names none.
        fill: Puts what is typed into a template.
    """

    def __init__(
        self,
        conversation: Conversation,
        answer: Callable[[Conversation], Answered],
        read: Callable[[str], str],
        default_model: str,
        fill: Callable[[str], str] = lambda text: text,
    ) -> None:
        self.conversation, self.default_model = conversation, default_model
        self._answer, self._read, self._fill = answer, read, fill
        #: The last question, if it has no answer.
        self._open: str | None = None if conversation.is_answered else conversation.take_back()

    def run(self) -> None:
        """Talk until Ctrl-D or ``/quit``."""
        if self._open is not None:
            print_note("The last question has no answer; /retry asks it again.")
        while True:
            try:
                self._step(read_text(self._read))
            except (EOFError, Ended):
                return
            except KeyboardInterrupt:
                print_note("(Ctrl-D or /quit ends the conversation.)")
            except UnicodeDecodeError:
                print_note("foundry-rest: that was no text in this terminal's encoding.")

    def ask(self, question: str) -> None:
        """Ask, print the answer, and keep both; a question without any answer can be asked again."""
        self._open = None
        self.conversation.add({"role": "user", "content": question})
        answered = self._answer(self.conversation)
        if answered.messages:
            self.conversation.add(*answered.messages)
        else:
            self._open = self.conversation.take_back()
        if isinstance(answered.error, FoundryError):
            print_note(f"foundry-rest: {answered.error.for_command('chat', in_lines=True)}")
        elif answered.error is not None:
            print_note("(stopped)")

    def retry(self) -> None:
        """Ask the last question again."""
        question = self.conversation.take_back() if self._open is None else self._open
        if question is None:
            print_note("There is no question to ask again.")
        else:
            self.ask(question)

    def _step(self, text: str) -> None:
        command = command_in(text)
        try:
            if command is not None:
                if told := run_command(self, *command):
                    print_note(told)
            elif text.strip():
                self.ask(self._fill(text))
        except FoundryError as error:  # of a command, or a file that cannot be written
            print_note(f"foundry-rest: {error.for_command('chat', in_lines=True)}")


def read_text(read: Callable[[str], str]) -> str:
    """Return one line, or the lines between two marks of three quotes."""
    text = read(_PROMPT)
    if not text.startswith(_FENCE):
        return text
    parts = [text.removeprefix(_FENCE)]
    while not parts[-1].rstrip().endswith(_FENCE):
        parts.append(read(_MORE))
    return "\n".join(parts).rstrip().removesuffix(_FENCE).strip("\n")
