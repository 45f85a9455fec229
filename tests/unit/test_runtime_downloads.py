"""The parent's half of a download, with a child that is played: what it is told, and when the wait ends."""

from __future__ import annotations

import os
import sys
import threading
import warnings

import pytest

from foundry_rest import clock, errors
from foundry_rest.runtime.child_process import Child, Plan
from foundry_rest.runtime.downloads import DownloadRequest, Downloads, Mailboxes, catalog_spelling, error_for
from foundry_rest.runtime.protocol import Command, Progress, to_line
from foundry_rest.schema import ModelInfo
from foundry_rest.transport.cancellation import CancelToken

KNOWN = (("phi", "phi-generic-cpu:1"), ("phi", "phi-cuda-gpu:2"))


class PlayedChild:
    """Answer each command with the lines that were given for it."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = list(lines)
        self.told: list[Command] = []
        self.end: errors.FoundryError | None = None
        self.mailboxes = Mailboxes()
        self.downloads = Downloads(self.mailboxes, self.send, self.check)

    def send(self, command: Command) -> None:
        """Take a command."""
        self.check()
        self.told.append(command)
        if command.download:
            for line in self.lines:
                self.mailboxes.deliver(line)

    def check(self) -> None:
        """Say whether it lives."""
        if self.end is not None:
            raise self.end


def said(number: int = 1, **facts: object) -> bytes:
    """Return the child's line."""
    return to_line(Progress(number, **facts))


def test_steps_and_end():
    """Progress of this download becomes steps; other lines, and other downloads' progress, are dropped."""
    steps = []
    played = PlayedChild(
        b"garbage\n", b"\xff\n", said(7, fraction=0.9), said(fraction=0.5), said(outcome="cached")
    )
    played.downloads.run("phi", DownloadRequest(steps.append))

    assert [(step.fraction, step.done) for step in steps] == [(0.5, False), (1.0, True)]
    assert played.told == [Command(1, "phi")]
    assert played.mailboxes._open == {}


def test_nobody_listens():
    """Without a listener a download is waited for all the same."""
    PlayedChild(said(fraction=0.5), said(outcome="cached")).downloads.run("phi", DownloadRequest())


def test_another_spelling():
    """A name that Microsoft's look-up does not take is asked for once more as the catalog spells it."""
    played = PlayedChild(said(1, outcome="unknown", known=KNOWN), said(2, outcome="cached"))
    played.downloads.run("PHI", DownloadRequest())

    assert [command.download for command in played.told] == ["PHI", "phi"]


@pytest.mark.parametrize(
    ("name", "spelling"), [("PHI", "phi"), ("Phi-Cuda-GPU", "phi-cuda-gpu:2"), ("other", "")]
)
def test_spelling(name, spelling):
    """An alias stays one, so that Microsoft chooses the variant; another name becomes the id."""
    models = [ModelInfo(id=id_, alias=alias, name=id_.partition(":")[0]) for alias, id_ in KNOWN]
    assert catalog_spelling(name, models) == spelling


@pytest.mark.parametrize(
    ("progress", "kind", "said"),
    [
        (Progress(1, outcome="unknown", known=KNOWN), errors.ModelNotFound, "Did you mean phi"),
        (Progress(1, outcome="unknown"), errors.ServiceUnreachable, "catalog is empty.*SSL_CERT_FILE"),
        (Progress(1, outcome="failed", reason="HTTP 503", code=6), errors.ServiceUnreachable, "HTTP 503"),
        (
            Progress(1, outcome="failed", reason="errno 28", code=2),
            errors.ServerError,
            "28.*free space",
        ),
    ],
)
def test_errors(progress, kind, said):
    """Each end has its class; an empty catalog is one that was not reached, and calls no name unknown."""
    with pytest.raises(kind, match=said) as caught:
        raise error_for(progress, "ph")

    assert (caught.value.call, caught.value.model) == ("models.download", "ph")


def begin(played: PlayedChild, request: DownloadRequest) -> tuple[threading.Thread, list[BaseException]]:
    """Download in another thread until it waits; return it and what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            played.downloads.run("phi", request)
        except errors.FoundryError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not played.told:
        clock.sleep(0.001)
    return thread, raised


def test_cancel():
    """A token ends the wait at once, and the child is told to stop that download."""
    played, token = PlayedChild(), CancelToken()
    thread, raised = begin(played, DownloadRequest(cancel=token))
    token.cancel()
    thread.join(0.09)  # the wait looks by itself every 0.1 s

    assert isinstance(raised[0], errors.Cancelled)
    assert played.told == [Command(1, "phi"), Command(1)]


@pytest.mark.parametrize("is_woken", [True, False])
def test_end_of_the_child(is_woken):
    """The child's end is noticed: at once when somebody says so, else within 0.1 s."""
    played = PlayedChild()
    thread, raised = begin(played, DownloadRequest())
    played.end = errors.ServiceUnreachable("died")
    if is_woken:
        played.mailboxes.wake()
    thread.join(2)

    assert raised == [played.end]


def test_deadline():
    """A deadline ends the wait, and the download; one that has passed asks nothing."""
    played = PlayedChild()
    for left in (0.02, -1.0):
        with pytest.raises(errors.DeadlineExceeded, match="goes on from what has come"):
            played.downloads.run("phi", DownloadRequest(until=clock.monotonic() + left))

    assert played.told == [Command(1, "phi"), Command(1)]


def test_silence():
    """Silence is borne for so long; each step begins it anew."""
    played = PlayedChild(said(fraction=0.5))
    steps = []
    with pytest.raises(errors.ServiceTimeout, match=r"nothing more came within 0\.02 s") as caught:
        played.downloads.run("phi", DownloadRequest(steps.append, timeout=0.02))

    assert (caught.value.phase, len(steps)) == ("idle", 1)
    assert played.told[-1] == Command(1)


def test_token_that_was_cancelled():
    """A token that was cancelled before asks nothing."""
    played, token = PlayedChild(), CancelToken()
    token.cancel()
    with pytest.raises(errors.Cancelled):
        played.downloads.run("phi", DownloadRequest(cancel=token))

    assert played.told == []


def test_listener_that_raises():
    """What the listener raises reaches the caller, and the child stops that download."""
    played = PlayedChild(said(fraction=0.5))
    with pytest.raises(ZeroDivisionError):
        played.downloads.run("phi", DownloadRequest(lambda step: 1 / 0))

    assert played.told[-1] == Command(1)


#: A child that says its address, then what it is told to say of every command.
CODE = """
import sys, time
sys.stdin.readline()
print('{"url": "http://127.0.0.1:1", "pid": 7}', flush=True)
for line in sys.stdin:
    if line == "\\n":
        break
"""


@pytest.fixture
def start():
    """Return a function that starts a child which does something at every command."""
    started = []

    def begin(code: str) -> Child:
        plan = Plan(folders=(), host="127.0.0.1", port=0, cache_dir=None, start_timeout=10.0)
        child = Child(plan, (sys.executable, "-S", "-E", "-c", f"{CODE}    {code}\n"))
        child.launch()
        started.append(child)
        return child

    yield begin
    for child in started:
        child.end()


def test_over_the_pipes(start):
    """Command and progress are one line each."""
    command, progress = '{"number":1,"download":"phi"}\\n', '{"number": 1, "outcome": "cached"}'
    code = f"print('{progress}' if line == '{command}' else line, flush=True)"
    steps = []
    start(code).download("phi", DownloadRequest(steps.append))

    assert [step.done for step in steps] == [True]


def test_child_that_dies(start):
    """A child that dies at the command is unreachable, with its exit code and last words."""
    child = start("sys.stderr.write('out of memory'); sys.stderr.flush(); sys.exit(3)")
    for _ in range(2):
        with pytest.raises(errors.ServiceUnreachable, match=r"exit code 3(?s:.*)out of memory"):
            child.download("phi", DownloadRequest())


def test_end_while_downloading(start):
    """end() from another thread ends the wait with Cancelled; afterwards no command is taken."""
    child = start("pass")
    timer = threading.Timer(0.03, child.end)
    timer.start()
    with pytest.raises(errors.Cancelled, match=r"close\(\) was called"):
        child.download("phi", DownloadRequest())
    timer.join()

    with pytest.raises(errors.Cancelled):
        child.download("phi", DownloadRequest())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_process(start):
    """A forked process has no part in the pipes: it is told so."""
    child = start("pass")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork beside threads
        pid = os.fork()
    if not pid:
        try:
            child.download("phi", DownloadRequest())
        except errors.ConfigError:
            os._exit(0)
        finally:
            os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
