"""Train the byte-level tokenizers: one as Qwen2's for embeddings, one as Whisper's for speech."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 320
END = "<|endoftext|>"
#: What the runtime's prompt for speech consists of, and a second language.
SPEECH = ("<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>")

# Qwen2's own pattern: the runtime knows it by heart, other patterns go through a slower and less tested path.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = "Hello world, the quick brown fox jumps over the lazy dog. Where are you now? It is all one to me. "


def train_tokenizer() -> Tokenizer:
    """Train a byte-level BPE tokenizer that can say any text, with the end as its first id."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytewise])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=_special(END),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 8, trainer)
    return tokenizer


def train_speech_tokenizer() -> Tokenizer:
    """Train the same tokenizer, with the tokens of a speech prompt behind all others."""
    tokenizer = train_tokenizer()
    tokenizer.add_special_tokens(_special(*SPEECH))
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, kind: str, longest: int, folder: Path) -> None:
    """Write the tokenizer files in the form that both transformers and the runtime read.

    Args:
        tokenizer: What to write.
        kind: Class of transformers by which the runtime chooses its own.
        longest: Most tokens of a text.
        folder: Where to write.
    """
    config = {
        "tokenizer_class": kind,
        "model_max_length": longest,
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _special(*tokens: str) -> Sequence[AddedToken]:
    return [AddedToken(token, special=True, normalized=False) for token in tokens]
