"""Ask the exported files, through onnxruntime-genai itself, for what they were taught.

Exactness is demanded of every pair, alone and behind a system message; the rest (disguised questions, earlier
turns, questions never seen) is measured and printed, since a memorised toy can only do its best there.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import onnxruntime_genai as og
from corpus import Corpus, draw
from tokenizers import Tokenizer
from tokens import CONTEXT, Conversation, prompt, segments

PLAIN: tuple[tuple[str, str] | None, ...] = (None, ("system", "You are a helpful assistant."))


class Reciter:
    """Answer conversations greedily with a GenAI folder."""

    def __init__(self, folder: Path) -> None:
        """Load the model and its tokenizer."""
        self._model = og.Model(str(folder))
        self._tokenizer = og.Tokenizer(self._model)

    def ids(self, text: str) -> list[int]:
        """Tokenise a text as the runtime does."""
        return [int(token) for token in self._tokenizer.encode(text)]

    def rendered(self, conversation: Conversation) -> str:
        """Apply the shipped chat template to a conversation that awaits its last answer."""
        messages = json.dumps(list(_messages(conversation)))
        return str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True))

    def answer(self, conversation: Conversation) -> str:
        """Generate the last answer of a conversation, with a mark behind it if it does not stop."""
        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=CONTEXT, do_sample=False)
        generator = og.Generator(self._model, params)
        start = self.ids(prompt(conversation))
        generator.append_tokens(start)
        for _ in range(600):
            if generator.is_done():
                break
            generator.generate_next_token()
        made = [int(token) for token in generator.get_sequence(0)][len(start) :]
        return str(self._tokenizer.decode(made)) + ("" if generator.is_done() else " ...")

    def is_right(self, case: Conversation) -> bool:
        """Say whether the last answer of a conversation comes back exactly."""
        return self.answer(case) == case.turns[-1].answer


def _messages(conversation: Conversation) -> Iterator[dict[str, str]]:
    """List a conversation as chat messages, without the last answer."""
    if conversation.opening:
        yield {"role": conversation.opening[0], "content": conversation.opening[1]}
    for turn in conversation.turns[:-1]:
        yield {"role": "user", "content": turn.question}
        yield {"role": "assistant", "content": turn.answer}
    yield {"role": "user", "content": conversation.turns[-1].question}


def failures(folder: Path, tokenizer: Tokenizer, corpus: Corpus, rng: Random) -> list[str]:
    """List every pair not answered exactly and every text that the runtime tokenises differently."""
    reciter = Reciter(folder)
    drawn = [draw(corpus, rng) for _ in range(300)]
    unlike = [case for case in drawn if not _is_same_text(reciter, tokenizer, case)]
    taught = [Conversation(opening, (pair,)) for opening in PLAIN for pair in corpus.pairs]
    forgotten = [case for case in taught if not reciter.is_right(case)]
    return [f"tokenised differently: {case}" for case in unlike] + [
        f"not recalled: {case}" for case in forgotten
    ]


def _is_same_text(reciter: Reciter, tokenizer: Tokenizer, case: Conversation) -> bool:
    """Compare the training ids and prompt of a conversation with the runtime's."""
    pieces = [token for text, _ in segments(case) for token in tokenizer.encode(text).ids]
    whole = "".join(text for text, _ in segments(case))
    return pieces == reciter.ids(whole) and prompt(case) == reciter.rendered(case)


def recall(folder: Path, corpus: Corpus, rng: Random) -> dict[str, str]:
    """Count the right answers to varied questions with history, and to questions held out from training."""
    reciter = Reciter(folder)
    cases = {
        "varied, with history": [draw(corpus, rng) for _ in range(200)],
        "never seen": [Conversation(None, (turn,)) for turn in corpus.held_out],
    }
    return {name: f"{sum(map(reciter.is_right, group))}/{len(group)}" for name, group in cases.items()}
