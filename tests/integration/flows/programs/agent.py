"""An agent that knows the weather and keeps notes; it remembers the conversation on stdin.

python agent.py NOTES.txt
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from foundry_rest import FoundryAPIClient, FoundryError

WEATHER = {"Paris": "18 degrees and sunny"}


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return WEATHER.get(city, "unknown")


def note_tools(path: Path) -> list[Callable[..., object]]:
    """Return functions that keep notes in a file, one a line."""

    def write_note(text: str) -> str:
        """Write a note down."""
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
        return "noted"

    def read_notes() -> list[str]:
        """Read all notes."""
        return path.read_text("utf-8").splitlines() if path.exists() else []

    return [write_note, read_notes]


def converse(
    client: FoundryAPIClient, tools: list[Callable[..., object]], said: Iterable[str]
) -> Iterator[str]:
    """Yield what is looked up and answered; a turn that fails is told, and not remembered."""
    messages: list[dict[str, object]] = []
    for text in said:
        asked = [*messages, {"role": "user", "content": text}]
        try:
            run = client.chat.run_tools(asked, functions=tools, temperature=0, max_turns=5)
        except FoundryError as error:
            yield f"[{error.message}]"
        else:
            messages = list(run.messages)
            yield from (f"[{made.call.name}({made.call.arguments}): {made.result}]" for made in run.calls)
            yield run.reply.content


if __name__ == "__main__":
    functions = [get_weather, *note_tools(Path(sys.argv[1]))]
    with FoundryAPIClient() as made:
        for line in converse(made, functions, map(str.strip, sys.stdin)):
            print(line, flush=True)
