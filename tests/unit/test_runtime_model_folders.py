"""What counts as a model directory, and what is said about one that does not."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import pytest
from support.platforms import links, set_home

from foundry_rest.errors import ConfigError
from foundry_rest.runtime.model_folders import alias_of, read_folder, read_folders


def make(path: Path, model: object = None, **files: str) -> Path:
    """Write a model directory and return it; a file's dot is spelled ``__``."""
    path.mkdir(parents=True)
    model = {"type": "llama", "decoder": {"filename": "model.onnx"}} if model is None else model
    (path / "genai_config.json").write_text(json.dumps({"model": model}), "utf-8")
    for name, text in {"model__onnx": "graph", **files}.items():
        (path / name.replace("__", ".")).write_text(text, "utf-8")
    return path


def test_one_path_is_a_list_of_one(tmp_path):
    """A text or a Path stands for one directory, not for a list of letters."""
    path = make(tmp_path / "phi")

    assert [folder.alias for folder in read_folders(path)] == ["phi"]
    assert read_folders(str(path)) == read_folders([path])


def test_names(tmp_path):
    """The directory's name is the alias; the id has the suffix and the version that the runtime wants."""
    model = read_folder(make(tmp_path / "phi")).model

    assert (model.alias, model.id, model.path) == ("phi", "phi-generic-cpu:1", tmp_path / "phi")


@links
def test_alias_is_the_name_that_was_given(tmp_path):
    """A link is served under its own name, and `.` under the directory's."""
    make(tmp_path / "blob-7f3a")
    (tmp_path / "phi").symlink_to(tmp_path / "blob-7f3a")

    assert read_folder(tmp_path / "phi").alias == "phi"
    assert read_folder(f"{tmp_path}/phi/.").alias == "phi"
    assert read_folder(f"{tmp_path}/phi/../phi/").alias == "phi"


def test_relative_path_and_home(tmp_path, monkeypatch):
    """A relative path and ~ become absolute, for the child may look from elsewhere."""
    make(tmp_path / "phi")
    monkeypatch.chdir(tmp_path)
    set_home(monkeypatch, tmp_path)

    assert read_folder("phi").path == tmp_path / "phi"
    assert read_folder("~/phi").path == tmp_path / "phi"


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("phi-4-mini_v1.0", "phi-4-mini_v1.0"),
        ("mein Modell für uns", "mein-Modell-fur-uns"),
        ("a/b?c#d%20e", "a-b-c-d-20e"),
        ("..", "model"),
        ("模型", "model"),
    ],
)
def test_alias_has_only_letters_that_a_path_takes(name, alias):
    """The service decodes nothing in a URL path, so an alias needs no encoding."""
    assert alias_of(name) == alias


@pytest.mark.parametrize("second", ["b/phi", "b/PHI"])
def test_same_alias_twice(tmp_path, second):
    """Two directories of one name are refused, both named; upper and lower case are one name."""
    first, other = make(tmp_path / "a" / "phi"), make(tmp_path / second)

    with pytest.raises(ConfigError) as caught:
        read_folders([first, other])
    assert str(first) in str(caught.value)
    assert str(other) in str(caught.value)


def test_same_directory_twice(tmp_path):
    """A directory given twice is a mistake too."""
    path = make(tmp_path / "phi")

    with pytest.raises(ConfigError, match="would both be served as 'phi'"):
        read_folders([path, path])


@pytest.mark.parametrize("given", [5, None, [5], [None], [""], ""])
def test_no_paths(given):
    """What is no path is refused by name, before the disk is looked at."""
    with pytest.raises(ConfigError, match="model_dirs must"):
        read_folders(given)


def test_no_directory(tmp_path):
    """A missing directory and a file are told apart."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="does not exist"):
        read_folder(tmp_path / "absent")
    with pytest.raises(ConfigError, match="is a file, not a directory"):
        read_folder(tmp_path / "file")


def test_no_config(tmp_path):
    """A directory without genai_config.json is no model, and the message says what makes one."""
    with pytest.raises(ConfigError, match=r"it has no genai_config\.json\. Give the directory"):
        read_folder(tmp_path)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe{", b"[]", b"{}", b'{"model": 5}'])
def test_bad_config(tmp_path, text):
    """A genai_config.json that cannot be read, or describes no model, is named."""
    path = make(tmp_path / "phi")
    (path / "genai_config.json").write_bytes(text)

    with pytest.raises(ConfigError, match=r"genai_config\.json (cannot be read|describes no model)"):
        read_folder(path)


def test_byte_order_mark(tmp_path):
    """A byte order mark, which Windows editors leave, does no harm."""
    path = make(tmp_path / "phi")
    config = path / "genai_config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())

    assert read_folder(path).section("model")["type"] == "llama"


@pytest.mark.parametrize(
    "model",
    [
        {"decoder": {"filename": "absent.onnx"}},
        {"encoder": {"filename": "model.onnx"}, "decoder": {"filename": "absent.onnx"}},
        {
            "decoder": {
                "pipeline": [{"embeddings": {"filename": "model.onnx"}}, {"x": {"filename": "absent.onnx"}}]
            }
        },
    ],
)
def test_missing_model_file(tmp_path, model):
    """Every model file that the configuration names, however deep, has to be there."""
    with pytest.raises(ConfigError, match=r"names 'absent\.onnx', which is not in that directory"):
        read_folder(make(tmp_path / "phi", model))


def test_model_file_outside(tmp_path):
    """A model file outside the directory could not be linked, so it is refused."""
    (tmp_path / "model.onnx").touch()

    with pytest.raises(ConfigError, match="not in that directory"):
        read_folder(make(tmp_path / "phi", {"decoder": {"filename": "../model.onnx"}}))


def test_unfinished_download(tmp_path):
    """The runtime takes a directory with download.tmp for no model; the reason is said at once."""
    with pytest.raises(ConfigError, match="download has not finished"):
        read_folder(make(tmp_path / "phi", download__tmp=""))


def test_files(tmp_path):
    """Files of subdirectories count; hidden directories, foreign marks and broken links do not."""
    path = make(tmp_path / "phi", {"decoder": {"filename": "./cpu/model.onnx"}}, inference_model__json="{}")
    for folder in ("cpu", ".cache"):
        (path / folder).mkdir()
        (path / folder / "model.onnx").touch()
    (path / "gone").symlink_to(tmp_path / "nowhere")

    assert read_folder(path).files == tuple(
        map(PurePath, ("cpu/model.onnx", "genai_config.json", "model.onnx"))
    )


@links
def test_linked_directories(tmp_path):
    """A linked subdirectory is entered, a link to a parent is not: that has no end."""
    path = make(tmp_path / "phi")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "adapter.bin").touch()
    (path / "adapters").symlink_to(tmp_path / "elsewhere")
    (path / "loop").symlink_to(path)

    assert PurePath("adapters/adapter.bin") in read_folder(path).files
    assert not [file for file in read_folder(path).files if "loop" in file.parts]


def test_reading_writes_nothing(tmp_path):
    """Looking at a directory leaves it as it is."""
    path = make(tmp_path / "phi")
    before = sorted(path.iterdir())
    read_folder(path)

    assert sorted(path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "is_there"),
    [("MODEL.onnx", True), ("mode\u0301l.onnx", True), ("mod\u00e9l.onnx", True), ("other.onnx", False)],
)
def test_a_file_system_that_folds_names(tmp_path, monkeypatch, name, is_there):
    """Where the system finds a file by another spelling of its name, a configuration may use it."""
    path = tmp_path / "phi"
    path.mkdir()
    (path / "genai_config.json").write_text(json.dumps({"model": {"decoder": {"filename": name}}}), "utf-8")
    for file in ("model.onnx", "mod\u00e9l.onnx"):
        (path / file).write_bytes(b"")
    exists = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda file: file.name == name or exists(file))
    if is_there:
        assert read_folder(path).alias == "phi"
    else:
        with pytest.raises(ConfigError, match="not in that directory"):
            read_folder(path)
