"""Make the tokenizer, and render conversations exactly as the runtime does.

The runtime renders messages with CHAT_TEMPLATE and tokenises the result. The training text must be the same
to the last token, so `segments` cuts a conversation only where the tokenizer cuts as well: in front of an
answer (after the line break that ends the role) and behind a special token.

With tools, 2.2.1 puts some 900 tokens of instructions into the system message, which CHAT_TEMPLATE cuts down
to the list of tools. It tokenises every text of the caller's by itself, and lets the model begin only with a
call or with FRAME.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 512
CONTEXT = 4096
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
SPECIAL = (PAD, START, END, CALL, CALL_END)

# What 2.2.1 writes into the system message around the list of tools, and in front of a text beside tools.
TOOLS_FOLLOW = "Tool calling protocol for this conversation:\nAvailable tools:\n"
TOOLS_END = "\nTo call tools, emit "
FRAME = "MESSAGE\n"

# The runtime's template engine knows no `in` for strings and no `replace`, hence `split`.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{{% set parts = message['content'].split({TOOLS_FOLLOW!r}) %}}"
    "{% if message['role'] == 'system' and parts|length == 2 %}"
    "{% set own = parts[0].strip() %}"
    "{% if own %}{{ '<|im_start|>system\\n' + own + '<|im_end|>\\n' }}{% endif %}"
    f"{{{{ '<|im_start|>tools\\n' + parts[1].split({TOOLS_END!r})[0] + '<|im_end|>\\n' }}}}"
    "{% else %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    "{% if message['tool_calls'] %}"
    "{{ '<tool_call>[' }}"
    "{% for call in message['tool_calls'] %}"
    "{{ ('' if loop.first else ',') + '{\"name\":\"' + call['function']['name'] + '\",\"parameters\":' }}"
    "{{ (call['function']['arguments']|tojson) + '}' }}"
    "{% endfor %}"
    "{{ ']</tool_call>' }}"
    "{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Qwen2's own pattern: the runtime knows it by heart, other patterns go through a slower and less tested path.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Call:
    """Hold one call of a tool and what the tool gave back."""

    name: str
    arguments: dict[str, Any]
    result: str


@dataclass(frozen=True, slots=True)
class Turn:
    """Hold one question and its answer, perhaps with a call in between.

    `learn` says whether the answer is a training target; a call is one as well where its tool is given.
    """

    question: str
    answer: str
    learn: bool = True
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Hold an optional (role, text) opening, the turns that follow it, and the tools given, as JSON.

    No text is empty: the runtime (2.2.1) drops a message without content before it applies the template.
    """

    opening: tuple[str, str] | None
    turns: tuple[Turn, ...]
    tools: str = ""


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train a byte-level BPE tokenizer, with the special tokens as its first ids."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytewise])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, _trainer())
    return tokenizer


def _trainer() -> trainers.BpeTrainer:
    """Ask for VOCABULARY entries that cover every byte, so that any text can be encoded."""
    return trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer files in the form that both transformers and the runtime read."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(_config(), indent=1) + "\n", encoding="utf-8")


def _config() -> dict[str, object]:
    """Describe the tokenizer as Qwen2's, the class whose pattern it uses."""
    return {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": CONTEXT,
        "pad_token": PAD,
        "eos_token": END,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


Piece = tuple[str, bool]


def segments(conversation: Conversation) -> Iterator[Piece]:
    """Cut a conversation into texts, each with whether it is a training target.

    The cuts are the runtime's: with tools around each of the caller's texts, without them none in a prompt.
    """
    pieces = (piece for piece in _pieces(conversation) if piece[0])
    if conversation.tools:
        yield from pieces
        return
    for learn, group in groupby(pieces, key=lambda piece: piece[1]):
        yield "".join(text for text, _ in group), learn


def _pieces(conversation: Conversation) -> Iterator[Piece]:
    """Cut a conversation around every text that is the caller's or the model's."""
    for role, text in _blocks(conversation):
        yield from ((f"{START}{role}\n", False), (text, False), (f"{END}\n", False))
    lead, frame = "", FRAME if conversation.tools else ""
    for turn in conversation.turns:
        yield from ((f"{lead}{START}user\n", False), (turn.question, False))
        yield f"{END}\n{START}assistant\n", False
        if turn.call:
            yield from _call_pieces(
                turn.call, written(turn.call, spaced=not frame), learn=turn.learn and bool(frame)
            )
        yield from ((frame, turn.learn), (turn.answer, turn.learn), (END, turn.learn))
        lead = "\n"


def _blocks(conversation: Conversation) -> Iterator[tuple[str, str]]:
    """List what stands in front of the turns: the runtime puts the tools behind a system text."""
    opening = conversation.opening
    if opening and opening[0] == "system":
        yield opening
    if conversation.tools:
        yield "tools", conversation.tools
    if opening and opening[0] != "system":
        yield opening


def _call_pieces(call: Call, text: str, *, learn: bool) -> Iterator[Piece]:
    """Cut a call and its result, up to where the answer begins."""
    yield from ((CALL, learn), (text, learn), (CALL_END + END, learn))
    yield from ((f"\n{START}tool\n", False), (call.result, False))
    yield f"{END}\n{START}assistant\n", False


def written(call: Call, *, spaced: bool) -> str:
    """Write a call as the runtime does beside tools, or with spaces as CHAT_TEMPLATE does without them."""
    arguments = json.dumps(call.arguments, separators=None if spaced else (",", ":"))
    return f'[{{"name":"{call.name}","parameters":{arguments}}}]'


def tasks(conversation: Conversation) -> list[tuple[list[str], str]]:
    """List what the last turn asks for, a call before the answer: the prompt in pieces, and what to say."""
    before: list[str] = []
    made: list[tuple[list[str], str]] = []
    for learn, group in groupby(segments(conversation), key=lambda piece: piece[1]):
        texts = [text for text, _ in group]
        if learn:
            made.append((before.copy(), "".join(texts).removesuffix(END)))
        before += texts
    calls = bool(conversation.turns[-1].call and conversation.tools)
    return made[-1 - calls :]
