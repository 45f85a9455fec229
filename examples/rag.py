"""Answer a question from your own documents, and name those that the answer comes from.

python examples/rag.py [FOLDER QUESTION] reads the .txt and .md files of a folder, or a few texts of its own.
Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`), its default model (FOUNDRY_MODEL) and
a model for vectors (EMBEDDING_MODEL, else qwen3-embedding-0.6b).
"""

import os
import sys
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from foundry_rest import FoundryAPIClient, FoundryError

EMBEDDING_MODEL = os.environ.get("EMBEDDING_MODEL", "qwen3-embedding-0.6b")
NEAREST = 2
RULES = "Answer from the numbered sources alone, and list the numbers of those that you used."
TEXTS = [
    ("animals.txt", "A spider has eight legs, an insect has six."),
    ("cities.txt", "The capital of France is Paris. The capital of Italy is Rome."),
]


class Answer(Struct):
    """What the model is to write; the bounds keep a small model short."""

    text: Annotated[str, Meta(max_length=1000)]
    sources: Annotated[list[Annotated[int, Meta(ge=1, le=NEAREST)]], Meta(max_length=NEAREST)]


def read(folder: Path) -> list[tuple[str, str]]:
    """Return the paragraphs of all texts in a folder, each with the name of its file."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".txt", ".md")]
    parts = [(path.name, part.strip()) for path in files for part in path.read_text("utf-8").split("\n\n")]
    return [(name, part) for name, part in parts if part]


def main(folder: str = "", question: str = "What is the capital of France?") -> int:
    """Print the answer and its sources."""
    chunks = read(Path(folder)) if folder else TEXTS
    with FoundryAPIClient() as client:
        try:
            texts = (text for _, text in chunks)
            vectors = client.embeddings.create(texts, model=EMBEDDING_MODEL, on_error="skip")
            near = vectors.top(client.embeddings.create(question, model=EMBEDDING_MODEL), NEAREST)
            numbered = "\n".join(f"[{place}] {chunks[one.index][1]}" for place, one in enumerate(near, 1))
            answer = client.complete(f"{numbered}\n\n{question}", system=RULES, response_model=Answer)
        except FoundryError as error:
            print(error, file=sys.stderr)
            return 1
    cited = [near[number - 1] for number in sorted(set(answer.sources)) if number <= len(near)]
    print(answer.text, *(f"[{chunks[one.index][0]}, {one.score:.2f}]" for one in cited), sep="\n")
    print(f"[{len(chunks)} texts, {len(vectors.failed)} of them too long or refused]")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
