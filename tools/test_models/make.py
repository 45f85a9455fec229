"""Remake the models of the tests: `python tools/test_models/make.py` (see README.md beside this file).

Writes `tests/models/tiny-embeddings/` and `tests/models/tiny-whisper/`; exits with 1 if they grew too big.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import networks
import torch
from tokenizers import Tokenizer
from tokens import save_tokenizer, train_speech_tokenizer, train_tokenizer
from transformers import PreTrainedModel

OUT = Path(__file__).parents[2] / "tests" / "models"
KEPT = ("genai_config.json", "audio_processor_config.json", "tokenizer.json", "tokenizer_config.json")
#: Bytes of both models together.
LIMIT = 3_000_000


def main() -> int:
    """Make both models; return 1 if they are too big."""
    parser = argparse.ArgumentParser(description="Remake the models of the tests.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write into (default: tests/models)")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    make_embeddings(out / "tiny-embeddings")
    make_speech(out / "tiny-whisper")
    sizes = {path: path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}
    for path, size in sizes.items():
        print(f"{size:9,} {path.relative_to(out)}")
    return int(sum(sizes.values()) > LIMIT)


def make_embeddings(out: Path) -> None:
    """Make the model that turns a text into 64 numbers."""
    tokenizer = train_tokenizer()
    network = networks.embeddings_network(tokenizer)
    export(network, tokenizer, "Qwen2Tokenizer", out, "include_hidden_states=true")


def make_speech(out: Path) -> None:
    """Make the model that turns sound into words."""
    tokenizer = train_speech_tokenizer()
    network = networks.speech_network(tokenizer)
    export(network, tokenizer, "WhisperTokenizer", out)


def export(network: PreTrainedModel, tokenizer: Tokenizer, kind: str, out: Path, *options: str) -> None:
    """Replace a folder by what the model builder makes of a network, with our tokenizer files."""
    longest = getattr(network.config, "max_target_positions", networks.TEXT_CONTEXT)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, built = Path(scratch, "checkpoint"), Path(scratch, "built")
        network.save_pretrained(checkpoint)
        save_tokenizer(tokenizer, kind, longest, checkpoint)
        _build(checkpoint, built, Path(scratch, "cache"), options)
        save_tokenizer(tokenizer, kind, longest, built)
        _install(built, out)


def _build(checkpoint: Path, built: Path, cache: Path, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "fp32", "-e", "cpu"]
    folders = ["-i", str(checkpoint), "-o", str(built), "-c", str(cache)]
    extra = ["--extra_options", *options] if options else []
    subprocess.run([*command, *folders, *extra], check=True, stdout=subprocess.DEVNULL)


def _install(built: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for path in built.iterdir():
        if path.name in KEPT or ".onnx" in path.suffixes:
            shutil.copyfile(path, out / path.name)
    for path in out.glob("*.json"):  # in one line: the builder gives each of many numbers a line of its own
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")), ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
