"""Turn the trained network into a plain ONNX Runtime GenAI folder, and weigh the result."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tokenizers import Tokenizer
from tokens import CALL, CALL_END, CONTEXT, save_tokenizer
from transformers import Qwen2ForCausalLM

KEPT = ("genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json", "tokenizer_config.json")
LIMIT = 1_500_000


def save_checkpoint(model: Qwen2ForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the checkpoint that the model builder reads."""
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def build(checkpoint: Path, out: Path, cache: Path) -> None:
    """Run the model builder on a checkpoint, in float32 for the CPU."""
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    options = ["-i", str(checkpoint), "-o", str(out), "-p", "fp32", "-e", "cpu", "-c", str(cache)]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)


def collect(built: Path, tokenizer: Tokenizer, out: Path) -> None:
    """Copy what the runtime needs of the built folder into a new one, with our tokenizer files."""
    save_tokenizer(tokenizer, built)
    configure(built / "genai_config.json", tokenizer)
    out.mkdir()
    for name in KEPT:
        shutil.copyfile(built / name, out / name)


def replace_folder(old: Path, new: Path) -> None:
    """Put a folder in the place of another; at no time is a half-written one there."""
    aside, beside = old.with_name(old.name + ".old"), old.with_name(old.name + ".new")
    old.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(new, beside)
    if old.exists():
        old.rename(aside)
    beside.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def configure(path: Path, tokenizer: Tokenizer) -> None:
    """Make greedy decoding over the whole context the default, and say which tokens enclose a tool call.

    Without these two ids the runtime takes those of the real Qwen2, which are far outside this vocabulary.
    """
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model"] |= {
        "bot_token_id": tokenizer.token_to_id(CALL),
        "eot_token_id": tokenizer.token_to_id(CALL_END),
    }
    config["search"] |= {
        "do_sample": False,
        "max_length": CONTEXT,
        "temperature": 1.0,
        "top_k": 1,
        "top_p": 1.0,
    }
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def raw_size(folder: Path) -> int:
    """Add up the sizes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def packed_size(folder: Path, scratch: Path) -> int:
    """Zip a folder as a wheel is zipped, at the highest level, and return the size."""
    target = scratch / "packed.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return target.stat().st_size
