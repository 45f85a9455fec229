"""What the how-to pages give to cron, systemd, the Task Scheduler and Ctrl-C, as those run it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT, blocks, lay_out

from foundry_rest import clock
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, stall

CRON = re.findall(r"^0 \d \* \* \*  (.*)$", "\n".join(blocks("how-to/cron", "text")), re.MULTILINE)
UNITS = blocks("how-to/systemd", "ini", marked=True)
VERIFY = "systemd-analyze"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="cron and systemd are not Windows'")


@pytest.fixture
def service():
    """Serve one demo model."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def nobody():
    """Return an address at which nothing listens."""
    with dead_address() as url:
        yield url


def environment(folder: Path, url: str) -> dict[str, str]:
    """Return all that cron gives, and the two variables that stand in a crontab or unit."""
    return {
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
        "FOUNDRY_ENDPOINT": url,
        "FOUNDRY_MODEL": DEMO_MODEL,
        "FOUNDRY_RETRIES": "0",
    }


def prepared(page: str, folder: Path) -> Path:
    """Make the folder of a page's job."""
    lay_out(page, folder)
    (folder / "prompts.txt").write_text("Say OK\nSay no\n", "utf-8")
    return folder


def run(command: str, folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run a line as cron does."""
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("/opt/jobs", str(folder))],
        cwd=folder,
        env=environment(folder, url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock: apt-get install util-linux")
@pytest.mark.parametrize("line", CRON, ids=["night", "batch"])
def test_a_line_for_cron(line, service, tmp_path):
    """It prints nothing, so that no mail is sent, and its log tells what was done."""
    done = run(line, prepared("how-to/cron", tmp_path), service.url)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (log,) = tmp_path.glob("*.log")
    assert log.read_text("utf-8").strip()


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock: apt-get install util-linux")
@pytest.mark.parametrize("line", CRON, ids=["night", "batch"])
def test_a_line_for_cron_without_a_service(line, nobody, tmp_path):
    """The exit code alone is mailed; the log tells the reason."""
    done = run(line, prepared("how-to/cron", tmp_path), nobody)

    assert done.stdout.endswith(": exit code 75\n")
    (log,) = tmp_path.glob("*.log")
    assert "connection refused" in log.read_text("utf-8")


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock: apt-get install util-linux")
def test_jobs_of_cron_that_overlap(service, tmp_path):
    """While one runs the second is refused, by the lock or by the batch itself, and asks nothing."""
    folder = prepared("how-to/cron", tmp_path)
    with (folder / "night.lock").open("w") as lock, (folder / "answers.jsonl.journal").open("w") as journal:
        for file in (lock, journal):
            fcntl.flock(file, fcntl.LOCK_EX)
        said = [run(line, folder, service.url).stdout for line in CRON]

    assert said == ["night: exit code 75\n", "batch: exit code 2\n"]
    assert service.asked("/v1/chat/completions") == []


@pytest.fixture
def units(tmp_path):
    """Lay out the job of the page on systemd, with its units; return those: name -> path."""
    folder = prepared("how-to/systemd", tmp_path)
    paths = {}
    for text in UNITS:
        name = re.match(r"# /etc/systemd/system/(\S+)\n", text)[1]
        paths[name] = folder / name
        paths[name].write_text(text.replace("/opt/jobs", str(folder)).replace("User=jobs\n", ""), "utf-8")
    return paths


@pytest.mark.skipif(shutil.which(VERIFY) is None, reason=f"needs {VERIFY}: apt-get install systemd")
def test_units_are_valid(units):
    """Systemd finds nothing to say about any of them, nor about the time of the timer."""
    assert sorted(units) == ["foundry.service", "night.service", "night.timer"]
    done = subprocess.run(
        [VERIFY, "verify", "--man=no", *map(str, units.values())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (when,) = re.findall(r"^OnCalendar=(.*)$", units["night.timer"].read_text("utf-8"), re.MULTILINE)
    subprocess.run([VERIFY, "calendar", when], check=True, capture_output=True)


@pytest.mark.parametrize("is_there", [True, False], ids=["answers", "down"])
def test_the_job_of_a_unit(units, tmp_path, is_there, service, nobody):
    """The command of the unit ends well, or with the code that the unit has restarted."""
    text = units["night.service"].read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    (never,) = re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.MULTILINE)
    done = run(command, tmp_path, service.url if is_there else nobody)

    assert done.returncode == (0 if is_there else 75)
    assert str(done.returncode) not in never.split()
    assert (tmp_path / "answers.jsonl").exists() == is_there


@pytest.mark.parametrize(
    ("answers", "code", "told"), [(True, 0, "INFO"), (False, 75, "ERROR no answer now: connection refused")]
)
def test_the_script_of_a_task(service, nobody, tmp_path, answers, code, told):
    """Started from anywhere it prints nothing, writes its log beside itself, and tells how it went."""
    lay_out("how-to/task-scheduler", tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    url = service.url if answers else nobody
    done = subprocess.run(
        [sys.executable, str(tmp_path / "night.py")],
        cwd=elsewhere,
        env={**environment(tmp_path, url), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")
    assert told in (tmp_path / "night.log").read_text("utf-8")


def test_interrupting_a_pool(service):
    """Ctrl-C ends the page's pool at once, in the middle of its calls."""
    service.on("POST", "/v1/chat/completions", stall())
    (*_, program) = blocks("how-to/thread-pool", "python")
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**environment(ROOT, service.url), "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not service.asked("/v1/chat/completions"):
            assert process.poll() is None
            clock.sleep(0.01)
        began = clock.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=50)[1]

    assert clock.monotonic() - began < 30  # the program's deadline is 60 s
    assert said.splitlines()[-1] == "KeyboardInterrupt"
