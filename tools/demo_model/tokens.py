"""Make the tokenizer, and render conversations exactly as the runtime does.

The runtime renders messages with CHAT_TEMPLATE and tokenises the result. The training text must be the same
to the last token, so `segments` cuts a conversation only where the tokenizer cuts as well: in front of an
answer (after the line break that ends the role) and behind a special token.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 512
CONTEXT = 4096
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, START, END)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Qwen2's own pattern: the runtime knows it by heart, other patterns go through a slower and less tested path.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Hold one question and its answer; `learn` says whether the answer is a training target."""

    question: str
    answer: str
    learn: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """Hold an optional (role, text) opening and the turns that follow it.

    No text is empty: the runtime (2.2.1) drops a message without content before it applies the template.
    """

    opening: tuple[str, str] | None
    turns: tuple[Turn, ...]


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


def message(role: str, content: str) -> str:
    """Render one message as CHAT_TEMPLATE does."""
    return f"{START}{role}\n{content}{END}\n"


def segments(conversation: Conversation) -> Iterator[tuple[str, bool]]:
    """Cut a conversation into texts, each with whether it is a training target."""
    lead = message(*conversation.opening) if conversation.opening else ""
    for turn in conversation.turns:
        yield f"{lead}{message('user', turn.question)}{START}assistant\n", False
        yield f"{turn.answer}{END}", turn.learn
        lead = "\n"


def prompt(conversation: Conversation) -> str:
    """Render everything in front of the last answer: what the runtime is given."""
    return "".join(text for text, _ in segments(conversation)).removesuffix(
        conversation.turns[-1].answer + END
    )
