"""The textfile of a job: gauges of its last run, whole or as they were."""

from __future__ import annotations

import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from foundry_rest.errors import ConfigError
from foundry_rest.observe import textfile
from foundry_rest.observe.textfile import GAUGES, JobTextfile

RUN, SUCCESS, DURATION, CODE, ITEMS = GAUGES


def series(*paths):
    """Return the value of each series of some files, as Prometheus reads them together."""
    content = "".join(path.read_text() for path in paths)
    families = text_string_to_metric_families(content)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_run_that_goes_well(tmp_path, time):
    """The file tells when it ended, how long it took, its exit code, and what was done."""
    path = tmp_path / "night.prom"
    with JobTextfile(path) as job:
        time.advance(2.5)
        job.items = {"succeeded": 99, "failed": 1}
    found = series(path)
    label = ("job", "night")

    assert found[SUCCESS, label] == found[RUN, label]
    assert (found[DURATION, label], found[CODE, label]) == (2.5, 0)
    assert found[ITEMS, label, ("outcome", "succeeded")] == 99
    assert found[ITEMS, label, ("outcome", "failed")] == 1
    assert not any(
        line.rpartition("} ")[2].count(" ") for line in path.read_text().splitlines() if "{" in line
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("x"), 1), (KeyboardInterrupt(), 1), (SystemExit(6), 6), (SystemExit("text"), 1)],
)
def test_a_run_that_fails(tmp_path, time, error, code):
    """The last success stays, the rest is of the run that failed; its exception goes on."""
    path = tmp_path / "night.prom"
    with JobTextfile(path, job="a"):
        pass
    before = series(path)
    time.advance(100)
    with pytest.raises(type(error)), JobTextfile(path, job="a"):
        raise error
    after, label = series(path), ("job", "a")

    assert after[SUCCESS, label] == before[SUCCESS, label]
    assert after[RUN, label] > before[RUN, label]
    assert after[CODE, label] == code


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(None)])
def test_a_run_that_exits_well(tmp_path, error):
    """``sys.exit()`` and ``sys.exit(0)`` are a success."""
    path = tmp_path / "a.prom"
    with pytest.raises(SystemExit), JobTextfile(path):
        raise error

    assert series(path)[CODE, ("job", "a")] == 0


def test_a_given_exit_code(tmp_path):
    """A program that knows its exit code says it; nothing is a success with another one than 0."""
    path = tmp_path / "a.prom"
    with JobTextfile(path) as job:
        job.exit_code = 75

    assert series(path)[CODE, ("job", "a")] == 75
    assert SUCCESS not in {name for name, *_ in series(path)}


@pytest.mark.parametrize("name", ["a b", 'quo"te', "back\\slash", "line\nend", "ü", "\ud800"])
def test_any_name_of_a_job(tmp_path, name):
    """A label is escaped as the format demands; a second run finds the success of the first."""
    path = tmp_path / "a.prom"
    for code in (0, 1):
        with JobTextfile(path, job=name) as job:
            job.items['out"come\n'] = 1
            job.exit_code = code
    found = series(path)

    assert {dict(labels)["job"] for _, *labels in found} == {name.replace("\ud800", "?")}
    assert SUCCESS in {each for each, *_ in found}


def test_two_jobs_in_one_directory(tmp_path):
    """node_exporter reads all files as one: HELP and TYPE agree, and no series comes twice."""
    paths = [tmp_path / "a.prom", tmp_path / "b.prom"]
    for path in paths:
        with JobTextfile(path) as job:
            job.items["succeeded"] = 1
    helps = {line for path in paths for line in path.read_text().splitlines() if line.startswith("#")}

    assert len(helps) == 2 * len(GAUGES)
    assert len(series(*paths)) == 2 * len(GAUGES)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", f"{SUCCESS}{{}} soon\n".encode(), b"x" * 3_000_000])
def test_an_old_file_that_says_nothing(tmp_path, content):
    """What cannot be read is replaced, and there is no last success."""
    path = tmp_path / "a.prom"
    path.write_bytes(content)
    with JobTextfile(path) as job:
        job.exit_code = 3

    assert {name for name, *_ in series(path)} == {RUN, DURATION, CODE}


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_the_collector_may_read_it(tmp_path):
    """It runs as another user."""
    path = tmp_path / "a.prom"
    with JobTextfile(path):
        pass

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [None, KeyError("x")])
def test_a_file_that_cannot_be_written(tmp_path, monkeypatch, caplog, error):
    """The old one is left as it is, nothing lies beside it, and the job ends as it would have ended."""
    path = tmp_path / "a.prom"
    path.write_text("old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "chmod", full)
    with pytest.raises(OSError, match="No space"):
        JobTextfile(path).write(0)
    with pytest.raises(KeyError) if error else nullcontext(), JobTextfile(path):
        if error:
            raise error

    assert f"The textfile {path} cannot be written (No space left on device)" in caplog.text
    assert [each.name for each in tmp_path.iterdir()] == ["a.prom"]
    assert path.read_text() == "old"


#: A job that is killed at the last moment before its file has taken the old one's place.
KILLED = """
import os, pathlib, signal, sys
from foundry_rest.observe.textfile import JobTextfile
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
with JobTextfile(sys.argv[1]) as job:
    job.exit_code = 5
"""


def test_a_job_that_is_killed_while_it_writes(tmp_path):
    """The old file stays, whole, and what lies beside it is nothing that the collector reads."""
    path = tmp_path / "a.prom"
    with JobTextfile(path):
        pass
    before = path.read_bytes()
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode != 0

    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.glob("*.prom")] == ["a.prom"]


@pytest.mark.parametrize("name", ["a.txt", "a", "no/such/place.prom"])
def test_a_place_that_cannot_be(tmp_path, name):
    """It is told before the job begins: the collector would not see it."""
    with pytest.raises(ConfigError, match=r"must end with .prom|there is no directory"):
        JobTextfile(tmp_path / name)


def test_every_gauge_is_explained():
    """The names have their unit, and one HELP each."""
    assert all(name.startswith("foundry_rest_job_") and text.endswith(".") for name, text in GAUGES.items())
    assert textfile._ITEMS in GAUGES
