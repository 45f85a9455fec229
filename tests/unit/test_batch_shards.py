"""Shards of a batch, and their outputs merged into one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.batches import FaultyFiles
from support.platforms import links

from foundry_rest.batch.output import Counts
from foundry_rest.batch.output_lines import CANCELLED, EXPIRED, unsent
from foundry_rest.batch.shards import Shard, merge
from foundry_rest.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "shard"), [("1/1", (1, 1)), ("2/5", (2, 5)), ("5/5", (5, 5)), ("007/010", (7, 10))]
)
def test_shard_of(text, shard):
    """K/N is part K of N, counted from 1."""
    assert Shard.of(text) == shard


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "0/5",
        "6/5",
        "1/0",
        "-1/5",
        "1/-5",
        "1.0/5",
        "a/b",
        " 1/5",
        "1/5\n",
        "1//5",
        "1/5".translate({0x31: 0x0661, 0x35: 0x0665}),
        "1/9999999",
    ],
)
def test_no_shard(text):
    """Anything else is refused, with the form that is meant."""
    with pytest.raises(ConfigError, match=r"--shard must be K/N with K from 1 to N"):
        Shard.of(text)


def test_shards_are_stable():
    """The part of a name is the same in every process and version: outputs of last year can be merged."""
    held = {name: [number for number in range(1, 8) if Shard(number, 7).holds(name)] for name in "abcdeü"}

    assert held == {"a": [5], "b": [1], "c": [4], "d": [1], "e": [5], "ü": [3]}


# ---------------------------------------------------------------- merge


def answered(name: str, status: int = 200) -> bytes:
    """Return a line with a status."""
    response = {"status_code": status, "request_id": "", "body": {}}
    return json.dumps({"id": "x", "custom_id": name, "response": response, "error": None}).encode() + b"\n"


def part(folder: Path, name: str, *lines: bytes) -> Path:
    """Write an output."""
    path = folder / name
    path.write_bytes(b"".join(lines))
    return path


def test_merge(tmp_path):
    """The lines stay byte for byte, in the order of the parts; the counts are those of all of them."""
    first = part(tmp_path, "1", answered("a"), answered("b", 400), unsent("c", CANCELLED))
    second = part(tmp_path, "2", b'{"custom_id": "d", "extra": 1,  "error": {"code": "request_timeout"}}\n')
    third = part(tmp_path, "3", unsent("e", EXPIRED) + b"\n", answered("f").rstrip())
    fourth = part(tmp_path, "4")
    target = tmp_path / "all"
    counts = merge([first, second, third, fourth], target)

    assert counts == Counts(succeeded=2, failed=2, unsent=2)
    assert target.read_bytes() == b"".join(
        [first.read_bytes(), b"\n", second.read_bytes(), third.read_bytes(), b"\n"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "3", "4", "all"]


REQUEST = b'{"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'


@pytest.mark.parametrize(
    "line", [b"\n", b"x\n", b"[]\n", b'{"custom_id": 5}\n', b'{"id": "x"}\n', b"\xff\n", REQUEST]
)
def test_merge_refuses_other_lines(tmp_path, line):
    """What is no line of an output is told with its place, and nothing is written."""
    bad = part(tmp_path, "bad", answered("a"), line)
    with pytest.raises(ConfigError, match=r"bad:2 is no line of a batch's output"):
        merge([bad], tmp_path / "all")

    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_merge_refuses_two_results(tmp_path):
    """Two parts with a result for the same request are told by both names; so is one part given twice."""
    first, second = part(tmp_path, "1", answered("a")), part(tmp_path, "2", answered("b"), answered("a"))
    with pytest.raises(ConfigError, match=r"2:2: 'a' has a result in .*1, too"):
        merge([first, second], tmp_path / "all")
    with pytest.raises(ConfigError, match=r"1:1: 'a' has a result in"):
        merge([first, first], tmp_path / "all")


def test_merge_into_a_part(tmp_path):
    """A part is not overwritten, under whatever name."""
    first = part(tmp_path, "1", answered("a"))
    (tmp_path / "sub").mkdir()
    with pytest.raises(ConfigError, match=r"is one of the parts"):
        merge([first], tmp_path / "sub" / ".." / "1")

    assert first.read_bytes() == answered("a")


@links
def test_merge_into_a_link_to_a_part(tmp_path):
    """A link to a part is that part."""
    first = part(tmp_path, "1", answered("a"))
    (tmp_path / "all").symlink_to(first)
    with pytest.raises(ConfigError, match=r"is one of the parts"):
        merge([first], tmp_path / "all")


def test_merge_into_an_output(tmp_path):
    """Whoever forgets the file to merge into does not lose the first part."""
    first, second = part(tmp_path, "1", answered("a")), part(tmp_path, "2", answered("b"))
    part(tmp_path, "1.journal", b"")
    with pytest.raises(ConfigError, match=r"1 is the output of a batch itself"):
        merge([second], first)

    assert first.read_bytes() == answered("a")


@pytest.mark.parametrize("content", [REQUEST, b"Summarise: x\n", b"\n"])
def test_merge_into_another_file(tmp_path, content):
    """A file that is no output, such as the input, is not overwritten; an empty one is."""
    first, target = part(tmp_path, "1", answered("a")), part(tmp_path, "in.jsonl", content)
    with pytest.raises(ConfigError, match=r"in.jsonl exists, and is no output of a batch"):
        merge([first], target)

    assert target.read_bytes() == content
    target.write_bytes(b"")
    merge([first], target)
    assert target.read_bytes() == answered("a")


def test_merge_without_a_part(tmp_path):
    """A part that is not there is told by its name, and an older merge stays as it was."""
    first, target = part(tmp_path, "1", answered("a")), part(tmp_path, "all", answered("z"))
    with pytest.raises(ConfigError, match=r"the part .*none cannot be read"):
        merge([first, tmp_path / "none"], target)

    assert target.read_bytes() == answered("z")
    merge([first], target)
    assert target.read_bytes() == answered("a")


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_merge_that_cannot_be_written(tmp_path, at):
    """The file is there as a whole or as it was before."""
    first, target = part(tmp_path, "1", answered("a")), part(tmp_path, "all", answered("z"))
    with pytest.raises(OSError, match=r"space"):
        merge([first], target, FaultyFiles(at, half=True))

    assert target.read_bytes() == answered("z" if at < 4 else "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "all"]
