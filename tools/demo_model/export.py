"""Turn the trained network into a plain ONNX Runtime GenAI folder, and weigh the result."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tokenizers import Tokenizer
from tokens import CONTEXT, save_tokenizer
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


def install(built: Path, tokenizer: Tokenizer, out: Path) -> None:
    """Replace the shipped folder by what the runtime needs of the built one, with our tokenizer files."""
    shutil.rmtree(out, ignore_errors=True)
    save_tokenizer(tokenizer, built)
    set_defaults(built / "genai_config.json")
    out.mkdir(parents=True)
    for name in KEPT:
        shutil.copyfile(built / name, out / name)


def set_defaults(path: Path) -> None:
    """Make greedy decoding over the whole context the default of a GenAI configuration."""
    config = json.loads(path.read_text(encoding="utf-8"))
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
