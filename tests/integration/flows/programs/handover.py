"""A chat on stdin for `openai`: we find the service and load the model. python handover.py [MODEL]."""

import sys
from collections.abc import Iterable, Iterator

from openai import OpenAI, OpenAIError

from foundry_rest import FoundryAPIClient, FoundryError


def chat(client: FoundryAPIClient, prompts: Iterable[str], model: str | None = None) -> Iterator[str]:
    """Yield the answers piece by piece; each turn asks where the service is, for it may have moved."""
    turns = []
    for prompt in prompts:
        asked, text = [*turns, {"role": "user", "content": prompt}], ""
        try:
            there = client.openai_settings(model)
            with OpenAI(base_url=there["base_url"], api_key=there["api_key"]) as theirs:
                create = theirs.chat.completions.create
                for chunk in create(model=there["model"], messages=asked, max_tokens=2000, stream=True):
                    piece = (chunk.choices and chunk.choices[0].delta.content) or ""
                    text += piece
                    yield piece
        except (FoundryError, OpenAIError) as error:
            yield f"\n[{error}]"
        else:
            turns = [*asked, {"role": "assistant", "content": text}]
        yield "\n"


if __name__ == "__main__":
    with FoundryAPIClient() as made:
        for piece in chat(made, map(str.strip, sys.stdin), *sys.argv[1:]):
            print(piece, end="", flush=True)
