"""Where conversations are kept: private, whole lines, one process at a time, only where asked."""

from __future__ import annotations

import os
import stat

import pytest
from support.platforms import links, posix

from foundry_rest.cli import conversation_files
from foundry_rest.cli.conversation_files import ConversationFile, conversation_of, folder, last, new
from foundry_rest.errors import ConfigError

TURN = [{"role": "user", "content": "Grüße"}, {"role": "assistant", "content": "世界"}]


@pytest.fixture
def file(tmp_path):
    """Return a file in a folder that is not there yet."""
    made = ConversationFile(tmp_path / "talks" / "a.jsonl")
    yield made
    made.close()


def test_kept_and_read(file):
    """What is written is read again, by whoever comes after."""
    file.append(TURN)
    file.append([{"dropped": 2}])
    file.close()

    assert ConversationFile(file.path).read() == [*TURN, {"dropped": 2}]


@posix
def test_private(file):
    """File and folder are for this user alone."""
    file.append(TURN)

    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("torn", ['{"role": "user", "con', "[1, 2]\n", "\x00\x00\n", '{"role": "user"'])
def test_line_that_was_cut(file, torn):
    """A line that the end of the machine cut is left out, and spoils nothing that is written behind it."""
    file.append(TURN)
    file.close()
    with file.path.open("a", encoding="utf-8") as raw:
        raw.write(torn)
    file.append(TURN)

    assert file.read() == [*TURN, *TURN]


def test_one_at_a_time(file):
    """A conversation that somebody is in cannot be gone on with elsewhere, until it is closed."""
    file.append(TURN)
    other = ConversationFile(file.path)
    with pytest.raises(ConfigError, match="another foundry-rest is in the conversation"):
        other.read()
    file.close()
    assert other.read() == TURN
    other.close()


@links
@posix
def test_foreign_files(file, tmp_path):
    """A link is neither read nor written: it would lead what is kept elsewhere."""
    file.append(TURN)
    file.close()
    link = file.path.with_name("b.jsonl")
    link.symlink_to(file.path)

    with pytest.raises(ConfigError, match="cannot be kept"):
        ConversationFile(link).append(TURN)


def test_no_place(tmp_path):
    """A folder that cannot be made is a ConfigError that names the file."""
    (tmp_path / "taken").write_text("", "utf-8")
    with pytest.raises(ConfigError, match=r"taken.*cannot be kept"):
        ConversationFile(tmp_path / "taken" / "a.jsonl").append(TURN)


def test_too_long(file, monkeypatch):
    """What no model could read is not read into memory."""
    monkeypatch.setattr(conversation_files, "_MOST", 10)
    file.append(TURN)
    with pytest.raises(ConfigError, match="too long to go on with"):
        file.read()


def test_the_last_one(monkeypatch):
    """The last one is that which was written last; without any it is said how to have one."""
    with pytest.raises(ConfigError, match="no conversation is kept"):
        last()
    first = new()
    first.append(TURN)
    first.close()
    later = ConversationFile(folder() / "0.jsonl")
    later.append(TURN)
    later.close()
    os.utime(later.path, (1, 1))
    assert last().path == first.path
    os.utime(later.path)
    os.utime(first.path, (1, 1))
    assert last().path == later.path


def test_new_is_made_with_its_first_record():
    """A new one is no file before something is kept in it; and nobody keeps one without being asked."""
    file = new()
    conversation_of(file, is_new=True).change(model="m")
    assert not file.path.exists()
    conversation_of(None, is_new=True).add(*TURN)
    assert not folder().exists()
