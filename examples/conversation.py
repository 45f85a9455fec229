"""Talk with the model: what was said before goes along with each question.

    conversation.py                    asks two questions of its own
    conversation.py < questions.txt    asks one a line

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL).
"""

import sys
from collections.abc import Iterable

from foundry_rest import ContextLengthExceeded, FoundryAPIClient, FoundryError

QUESTIONS = ("Who are you?", "What is the capital of France?")


def talk(client: FoundryAPIClient, questions: Iterable[str]) -> None:
    """Ask one question after the other, and print the answers as they arrive."""
    said: list[dict[str, object]] = []
    for question in questions:
        print(f"> {question}")
        said.append({"role": "user", "content": question})
        try:
            stream = client.chat.stream(said, temperature=0)
            for chunk in stream:
                print(chunk.content, end="", flush=True)
        except ContextLengthExceeded:
            print("[too long: the oldest question and its answer are forgotten]")
            del said[:2]
            continue
        print()
        said.append(stream.gather().message)


def main() -> int:
    """Hold the conversation; return 0 when every answer came whole."""
    questions = [] if sys.stdin.isatty() else [line.strip() for line in sys.stdin if line.strip()]
    with FoundryAPIClient() as client:
        try:
            talk(client, questions or QUESTIONS)
        except FoundryError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
