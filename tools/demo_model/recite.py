"""Ask the exported files, through onnxruntime-genai itself, for what they were taught.

Exactness is demanded of every pair, alone and behind a system message, and of the tool's call and answer; the
rest (disguised questions, earlier turns, questions never seen) is measured and printed, since a memorised toy
can only do its best there.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import onnxruntime_genai as og
from corpus import Corpus, draw
from tokenizers import Tokenizer
from tokens import (
    CALL,
    CALL_END,
    CONTEXT,
    FRAME,
    TOOLS_END,
    TOOLS_FOLLOW,
    Call,
    Conversation,
    Turn,
    segments,
    tasks,
    written,
)
from toolbox import compact

PLAIN: tuple[tuple[str, str] | None, ...] = (None, ("system", "You are a helpful assistant."))


class Reciter:
    """Answer conversations greedily with a GenAI folder."""

    def __init__(self, folder: Path) -> None:
        """Load the model and its tokenizer."""
        self._model = og.Model(str(folder))
        self._tokenizer = og.Tokenizer(self._model)

    def _decoded(self, ids: list[int]) -> str:
        """Turn ids into text, with the tokens around a call and without the one that ends a message."""
        marks = {self.ids(mark)[0]: mark for mark in (CALL, CALL_END)}
        groups = groupby(ids, key=marks.get)
        return "".join(mark or str(self._tokenizer.decode(list(group))) for mark, group in groups)

    def ids(self, text: str) -> list[int]:
        """Tokenise a text as the runtime does."""
        return [int(token) for token in self._tokenizer.encode(text)]

    def rendered(self, conversation: Conversation) -> str:
        """Apply the shipped chat template to a conversation that awaits its last answer."""
        messages = json.dumps(list(_messages(conversation)))
        return str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True))

    def answer(self, texts: list[str]) -> str:
        """Go on with a prompt that is given in pieces, with a mark behind the text if it does not stop."""
        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=CONTEXT, do_sample=False)
        generator = og.Generator(self._model, params)
        start = [token for text in texts for token in self.ids(text)]
        generator.append_tokens(start)
        for _ in range(600):
            if generator.is_done():
                break
            generator.generate_next_token()
        made = [int(token) for token in generator.get_sequence(0)][len(start) :]
        return self._decoded(made) + ("" if generator.is_done() else " ...")

    def is_right(self, case: Conversation) -> bool:
        """Say whether the last call and answer of a conversation come back exactly."""
        return all(self.answer(texts) == wanted for texts, wanted in tasks(case))


def _messages(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """List a conversation as the runtime hands it to the chat template, without the last answer."""
    yield from _openings(conversation)
    for turn in conversation.turns:
        yield {"role": "user", "content": turn.question}
        if turn.call:
            yield from _exchange(turn.call, beside_tools=bool(conversation.tools))
        if turn is not conversation.turns[-1]:
            yield {"role": "assistant", "content": (FRAME if conversation.tools else "") + turn.answer}


def _openings(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """List the messages in front of the turns; the runtime writes the tools into the system message."""
    role, text = conversation.opening or ("system", "")
    if conversation.tools:
        own = text + "\n\n" if text and role == "system" else ""
        told = f"{own}{TOOLS_FOLLOW}{conversation.tools}{TOOLS_END}{CALL} followed by a JSON array"
        yield {"role": "system", "content": told}
    if text and not (conversation.tools and role == "system"):
        yield {"role": role, "content": text}


def _exchange(call: Call, *, beside_tools: bool) -> Iterator[dict[str, Any]]:
    """List a call and its result: as text beside tools, else as the caller gave it."""
    if beside_tools:
        yield {"role": "assistant", "content": f"{CALL}{written(call, spaced=False)}{CALL_END}"}
    else:
        made = {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        yield {"role": "assistant", "content": "", "tool_calls": [made]}
    yield {"role": "tool", "content": call.result}


def failures(folder: Path, tokenizer: Tokenizer, corpus: Corpus, rng: Random) -> list[str]:
    """List everything not answered exactly and every text that the runtime tokenises differently."""
    reciter = Reciter(folder)
    drawn = [draw(corpus, rng) for _ in range(300)]
    unlike = [case for case in drawn if not _is_same_text(reciter, tokenizer, case)]
    forgotten = [case for case in _taught(corpus) if not reciter.is_right(case)]
    return [f"tokenised differently: {case}" for case in unlike] + [
        f"not recalled: {case}" for case in forgotten
    ]


def _taught(corpus: Corpus) -> Iterator[Conversation]:
    """List what must come back exactly, each alone and behind a system message."""
    box = corpus.tools
    tool_turns = [box.turn(result, box.answer) for result in box.results]
    for opening in PLAIN:
        yield from (Conversation(opening, (pair,)) for pair in corpus.pairs)
        for tools in ("", compact([box.tool])):
            yield from (Conversation(opening, (turn,), tools) for turn in tool_turns)


def _is_same_text(reciter: Reciter, tokenizer: Tokenizer, case: Conversation) -> bool:
    """Compare the training ids and prompt of a conversation with the runtime's."""
    texts = [text for text, _ in segments(case)]
    ids = [token for text in texts for token in tokenizer.encode(text).ids]
    read = [token for text in (texts if case.tools else ["".join(texts)]) for token in reciter.ids(text)]
    return ids == read and "".join(tasks(case)[-1][0]) == reciter.rendered(case)


def recall(folder: Path, corpus: Corpus, rng: Random) -> dict[str, str]:
    """Count the right answers to varied questions with history, and to questions held out from training."""
    reciter = Reciter(folder)
    tools = compact([corpus.tools.tool])
    cases = {
        "varied, with history": [draw(corpus, rng) for _ in range(200)],
        "never seen": [Conversation(None, (turn,)) for turn in corpus.held_out],
        "pairs beside the tool": [Conversation(None, (turn,), tools) for turn in _no_calls(corpus)],
    }
    return {name: f"{sum(map(reciter.is_right, group))}/{len(group)}" for name, group in cases.items()}


def _no_calls(corpus: Corpus) -> list[Turn]:
    """List the pairs that stay what they are when the tool is given."""
    return [pair for pair in corpus.pairs if pair.question != corpus.tools.question]
