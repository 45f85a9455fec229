"""Answer the questions on stdin from a folder of texts, and tell which of them each answer is from.

python assistant.py FOLDER
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from foundry_rest import FoundryAPIClient, FoundryError

EMBEDDER = "qwen3-embedding-0.6b"
RULES = "Answer from these texts:\n"


def read(folder: Path) -> list[tuple[str, str]]:
    """Return the paragraphs of all texts, each with the name of its file."""
    files = [(path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.txt"))]
    return [(name, part.strip()) for name, text in files for part in text.split("\n\n") if part.strip()]


def assist(client: FoundryAPIClient, folder: Path, questions: Iterable[str]) -> Iterator[str]:
    """Yield the answers piece by piece, and after each its sources; what fails is told in its place."""
    parts, turns = read(folder), []
    vectors = client.embeddings.create((text for _, text in parts), model=EMBEDDER, on_error="skip")
    for question in questions:
        try:
            near = vectors.top(client.embeddings.create(question, model=EMBEDDER), 3)
            found = [parts[one.index] for one in near]
            asked = [*turns[-6:], {"role": "user", "content": question}]
            system = RULES + "\n".join(text for _, text in found)
            stream = client.chat.stream(asked, system=system, temperature=0)
            yield from stream.texts()
            turns += [asked[-1], {"role": "assistant", "content": stream.text}]
            yield f"\n[from {', '.join(sorted({name for name, _ in found}))}]\n"
        except FoundryError as error:
            yield f"\n[{error.message}]\n"


if __name__ == "__main__":
    with FoundryAPIClient() as made:
        for piece in assist(made, Path(sys.argv[1]), map(str.strip, sys.stdin)):
            print(piece, end="", flush=True)
