r"""The command ``foundry`` for tests: what 0.8 and the preview 0.10 print, over a service that can be chosen.

Ask for the fixture ``fake_foundry`` (conftest.py): it puts the command on PATH, and called with a state it
writes ``state.json`` into the directory that ``FAKE_FOUNDRY_HOME`` names. Without a state it is 0.8 with
no service running. The members of the state, all of them optional:

``cli``      ``"0.8"`` (default: ``foundry service ...``) or ``"0.10"`` (``foundry server ...``).
``running``  Whether the command believes that the service runs; need not be true. Default: whether ``url``
             is given.
``url``      The service's base URL, right or stale.
``pid``      The service's process; ``service start`` and ``stop`` write and use it.
``dead``     0.8: ``service status`` prints the exception text with ``url``, a dead one, in it (issue 286).
``noise``    Text printed before the answer: banners, notices, spinners.
``delay``    Seconds before anything is printed: a command that hangs.
``says``     Text printed in place of everything else.
``code``     Exit code of a status; default 0.

So ``fake_foundry(url=server.url)`` is a 0.8 whose service runs, ``fake_foundry(url=dead, dead=True)`` the
half dead one, ``fake_foundry(cli="0.10", url=url, running=True, noise="\x1b[2K| Starting\n")`` a preview.
``service start`` starts ``python -m foundry_rest.testing.legacy``, which ends with the process that
``FAKE_FOUNDRY_OWNER`` names, and which keeps the command's standard output open, as the real one does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATE = Path(os.environ.get("FAKE_FOUNDRY_HOME", ".")) / "state.json"

NOT_RUNNING = (
    "\N{LARGE RED CIRCLE} Model management service is not running!\n"
    "To start the service, run the following command: foundry service start\n"
)
RUNNING = "\N{LARGE GREEN CIRCLE} Model management service is running on {url}/openai/status\n"
HALF_DEAD = (
    "Exception: Request to local service failed. Uri:{url}/openai/status\n"
    "An error occurred while sending the request.\n"
    "Please check service status by running `foundry service status`.\n"
)
STARTED = "\N{LARGE GREEN CIRCLE} Service is Started on {url}/, PID {pid}!\n"
ALREADY = "\N{LARGE GREEN CIRCLE} Service is already running on {url}/.\n"
STOPPED = "\N{LARGE RED CIRCLE} Service is stopped.\n"
UNKNOWN = "Unrecognized command or argument '{0}'.\n"


def read() -> dict[str, object]:
    """Return the state, with ``running`` filled in."""
    try:
        state = json.loads(STATE.read_text("utf-8"))
    except FileNotFoundError:
        state = {}
    return {"running": bool(state.get("url")), **state}


def write(state: dict[str, object]) -> None:
    """Put a state in place in one step."""
    half = STATE.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(state), "utf-8")
    half.replace(STATE)


def say(text: str) -> None:
    """Print as UTF-8, whatever the console is."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()


def service_status(state: dict[str, object]) -> None:
    """Print whether the service runs."""
    text = HALF_DEAD if state.get("dead") else RUNNING if state["running"] else NOT_RUNNING
    say(text.replace("{url}", str(state.get("url"))))


def service_start(state: dict[str, object]) -> None:
    """Start the service unless it runs; it inherits standard output and outlives this command."""
    if state["running"]:
        say(ALREADY.replace("{url}", str(state["url"])))
        return
    owner = os.environ.get("FAKE_FOUNDRY_OWNER", str(os.getppid()))
    service = subprocess.Popen(
        [sys.executable, "-m", "foundry_rest.testing.legacy", "--owner", owner],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=sys.stdout.fileno(),  # this is what keeps the caller's pipe open
        text=True,
        start_new_session=True,
    )
    url = service.stdout.readline().strip()
    write({**state, "running": True, "url": url, "pid": service.pid})
    say(STARTED.replace("{url}", url).replace("{pid}", str(service.pid)))


def service_stop(state: dict[str, object]) -> None:
    """Stop the service that ``service start`` started."""
    if state.get("pid"):
        os.kill(int(str(state["pid"])), signal.SIGTERM)
    write({"cli": state.get("cli", "0.8")})
    say(STOPPED)


def server_status(state: dict[str, object]) -> None:
    """Print the preview's status, as text or as JSON."""
    running, urls = bool(state["running"]), [state["url"]] if state.get("url") else []
    name = "ready" if running else "stopped"
    if sys.argv[3:] == ["-o", "json"]:
        say(json.dumps({"running": running, "state": name, "webUrls": urls}, indent=2) + "\n")
    else:
        say(f"State: {name.title()}\nWeb URLs  {' '.join(map(str, urls))}\n")


COMMANDS = {
    ("0.8", "service", "status"): service_status,
    ("0.8", "service", "start"): service_start,
    ("0.8", "service", "stop"): service_stop,
    ("0.10", "server", "status"): server_status,
}


def main() -> int:
    """Run one command; return its exit code."""
    state = read()
    time.sleep(float(str(state.get("delay", 0))))
    verb = (str(state.get("cli", "0.8")), *sys.argv[1:3])
    if verb not in COMMANDS:
        say(UNKNOWN.format(" ".join(sys.argv[1:2])))
        return 1
    say(str(state.get("noise", "")))
    if "says" in state:
        say(str(state["says"]))
    else:
        COMMANDS[verb](state)
    return int(str(state.get("code", 0))) if verb[2] == "status" else 0


if __name__ == "__main__":
    sys.exit(main())
