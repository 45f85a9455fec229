"""Remake the demo chat model: `python tools/demo_model/make.py` (see README.md beside this file).

Trains a two-layer network on `pairs.json` and `tools.json`, exports it with the ONNX Runtime GenAI model
builder, and replaces `foundry_rest/demo_model/demo-chat/` if the exported files give back every answer to the
last byte. If not, the folder stays as it is.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import torch
from corpus import Corpus, load_corpus
from export import LIMIT, build, collect, packed_size, raw_size, replace_folder, save_checkpoint
from recite import failures, recall
from tokenizers import Tokenizer
from tokens import train_tokenizer
from train import new_model, round_weights, train
from transformers import Qwen2ForCausalLM

SEED = 2026
OUT = Path(__file__).parents[2] / "foundry_rest" / "demo_model" / "demo-chat"


def main() -> int:
    """Make, check and weigh the model; return 1 if an answer is wrong or the files are too big."""
    args = _arguments()
    os.nice(10)
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    rng = Random(SEED)
    corpus = load_corpus(rng)
    tokenizer = train_tokenizer(corpus.texts())
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made"
        model = _trained(corpus, tokenizer, rng, args.steps)
        _export(model, tokenizer, made, Path(scratch))
        if not _is_good(corpus, tokenizer, made, Path(scratch)):
            return 1
        replace_folder(args.out, made)
    return 0


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Remake the demo chat model.")
    parser.add_argument("--steps", type=int, default=900, help="optimiser steps (default: 900)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to replace (default: the package's)")
    return parser.parse_args()


def _trained(corpus: Corpus, tokenizer: Tokenizer, rng: Random, steps: int) -> Qwen2ForCausalLM:
    """Train a new network and say how long it took."""
    start = time.perf_counter()
    model = new_model(tokenizer)
    loss = train(model, tokenizer, corpus, rng, steps)
    round_weights(model)
    print(f"trained in {time.perf_counter() - start:.0f} s, loss {loss:.4f}")
    return model


def _export(model: Qwen2ForCausalLM, tokenizer: Tokenizer, out: Path, scratch: Path) -> None:
    """Write the checkpoint, build the ONNX model from it and collect what the runtime needs."""
    save_checkpoint(model, tokenizer, scratch / "checkpoint")
    build(scratch / "checkpoint", scratch / "built", scratch / "cache")
    collect(scratch / "built", tokenizer, out)


def _is_good(corpus: Corpus, tokenizer: Tokenizer, out: Path, scratch: Path) -> bool:
    """Print what the exported files can do, and say whether they do what they must."""
    wrong = failures(out, tokenizer, corpus, Random(SEED))
    packed = packed_size(out, scratch)
    print(f"{len(corpus.pairs)} pairs, {len(wrong)} failures; {raw_size(out):,} bytes, {packed:,} zipped")
    print("best effort:", recall(out, corpus, Random(SEED)))
    print(*wrong, sep="\n")
    return not wrong and packed <= LIMIT


if __name__ == "__main__":
    sys.exit(main())
