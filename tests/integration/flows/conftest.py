"""What the programs here read and ask: files, models, and how a program becomes a module."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from support.project import load_module

from foundry_rest import FoundryAPIClient, RetryPolicy
from foundry_rest.config import DEFAULT_MODEL
from foundry_rest.runtime import demo_model_dir

PROGRAMS = Path(__file__).with_name("programs")
EMBEDDER = "qwen3-embedding-0.6b"
TINY_EMBEDDINGS = Path(__file__).parents[2] / "models" / "tiny-embeddings"
FILES = {
    "texts/plays.txt": "Hamlet is a play.\n\nWilliam Shakespeare wrote it.\n",
    "texts/spiders.txt": "What is gravity?\n",
    "texts/towns.txt": "What is the capital of France?\n",
    "cases.csv": "question,expected\nWho wrote Hamlet?,Shakespeare\nWhat is two plus two?,Four\n",
}


@pytest.fixture(scope="session")
def program():
    """Return a function that imports a program."""

    def load(name):
        return load_module(PROGRAMS / f"{name}.py", f"flows_{name}")

    return load


@pytest.fixture(scope="session")
def rows():
    """Return a function that reads a CSV file's lines by their columns."""

    def read(path):
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Return the folders of three models under the names that are asked for; one never comes to an end."""
    made = tmp_path_factory.mktemp("models")
    (made / DEFAULT_MODEL).symlink_to(demo_model_dir(), target_is_directory=True)
    (made / EMBEDDER).symlink_to(TINY_EMBEDDINGS, target_is_directory=True)
    (made / "endless").mkdir()
    for file in demo_model_dir().iterdir():
        (made / "endless" / file.name).symlink_to(file)
    config = json.loads((demo_model_dir() / "genai_config.json").read_bytes())
    config["model"]["eos_token_id"] = config["model"]["vocab_size"] - 1
    (made / "endless" / "genai_config.json").unlink()
    (made / "endless" / "genai_config.json").write_text(json.dumps(config), "utf-8")
    return made


@pytest.fixture
def place(tmp_path):
    """Return a folder with what the programs read."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


@pytest.fixture
def embedded(folders):
    """Return a function that makes a client with a runtime of its own, whose model is the named one."""
    made = []

    def make(model=DEFAULT_MODEL, observers=()):
        dirs, soon = [folders / model, folders / EMBEDDER], RetryPolicy(base=0.02)
        made.append(FoundryAPIClient.embedded(dirs, observers=observers, retries=soon))
        return made[-1]

    yield make
    for client in made:
        client.close()
