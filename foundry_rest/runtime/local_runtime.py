"""`LocalRuntime`: a service of your own, which ends with your process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from types import TracebackType

from foundry_rest import clock
from foundry_rest.checks import positive_seconds, whole_number
from foundry_rest.errors import Cancelled, ConfigError, ServiceUnreachable
from foundry_rest.runtime.child_process import Child, Plan
from foundry_rest.runtime.downloads import DownloadRequest
from foundry_rest.runtime.model_folders import LocalModel, ModelDir, read_folders
from foundry_rest.schema import DownloadStep
from foundry_rest.schema.request import check_model_name
from foundry_rest.transport.cancellation import CancelToken

#: Most starts after a crash within so many seconds: a model or a request that kills the native library
#: would do so after each of them.
_REVIVALS, _WINDOW = 5, 300.0
#: Seconds in which a process that closed its connections because it dies is noticed to do so.
_DYING = 0.02
#: Seconds; enough for a cold disk and a busy machine. With warm caches the start takes 0.3 s.
START_TIMEOUT = 30.0
#: Oldest version with this runtime's settings and catalog; as in setup.cfg.
_OLDEST_SDK = (2, 2)
_INSTALL = 'pip install "foundry_rest[runtime]"'


class LocalRuntime:
    """A service for models on this machine, in a process that lives as long as this object.

    ``with`` or `start` starts it. Give directories to serve your own models, and only those; give none
    to serve the public catalog. A process forked from this one can use the address; only the process
    that started the runtime can end it.

    Args:
        model_dirs: Directories with a ``genai_config.json`` each; one path counts as a list of one.
        host: Name or IPv4 address to listen on.
        port: Port to listen on; 0 for a free one.
        start_timeout: Seconds that the start may take.
        cache_dir: Without ``model_dirs``: where downloaded models lie (``~/.foundry_rest/cache/models``).
            With them: where the private directory of links is made (the system's temporary directory).

    Raises:
        ConfigError: A directory holds no model, two have one alias, or another value cannot be used.
    """

    def __init__(
        self,
        model_dirs: ModelDir | Iterable[ModelDir] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        start_timeout: float = START_TIMEOUT,
        cache_dir: ModelDir | None = None,
    ) -> None:
        self._plan = Plan(
            read_folders(model_dirs),
            _checked_host(host),
            whole_number("port", port, 0, 65535),
            Path(cache_dir).expanduser().absolute() if cache_dir is not None else None,
            positive_seconds("start_timeout", start_timeout),
        )
        self._lock = threading.RLock()  # reentrant: a signal handler may call close()
        self._child: Child | None = None
        self._counted: Child | None = None
        self._revived: deque[float] = deque(maxlen=_REVIVALS)
        self._is_wanted = False

    def start(self) -> LocalRuntime:
        """Start the runtime and wait until it serves; does nothing while it runs.

        After a crash it starts a new one, on another port unless ``port`` was given.

        Raises:
            ConfigError: ``foundry_local_sdk`` is not installed or too old, or the models cannot be linked.
            ServiceUnreachable: The runtime did not come up; the message quotes its standard error.
            Cancelled: `close` was called from another thread meanwhile.
        """
        _require_sdk()
        self._is_wanted = True
        self._settle()
        self._launch()
        return self

    def close(self) -> None:
        """End the process and remove its files; does nothing when there is none, or in a forked process."""
        child = self._child
        if child is None or child.owner != os.getpid():
            return
        with self._lock:  # from here on no thread starts another child
            self._is_wanted, child = False, self._child or child
        child.end()
        with self._lock:
            if self._child is child:
                self._child = None

    def revive(self) -> str:
        """Return the address of the service after a connection was lost; it is started again after a crash.

        Raises:
            Cancelled: The runtime was closed, or never started.
            ServiceUnreachable: It died 5 times within 5 minutes, or did not come up.
        """
        self._settle()
        return self._running_child().url

    def download(
        self,
        name: str,
        progress: Callable[[DownloadStep], object] | None = None,
        *,
        timeout: float = inf,
        until: float = inf,
        cancel: CancelToken | None = None,
    ) -> None:
        """Fetch a model of the catalog into the runtime's cache, unless it is there already.

        Several threads may download at once. When a download ends early, the bytes received are kept, and
        the next download goes on from there. A download that is given up stops when its next bytes arrive.

        Args:
            name: Alias or id, in any case.
            progress: Called in this thread for each 0.1 % received, and once with ``done``; an error that it
                raises ends the download.
            timeout: Seconds of silence allowed between two steps.
            until: Monotonic instant at which to give up.
            cancel: Ends the wait from another thread.

        Raises:
            ConfigError: The name is unusable, the runtime is not started, or another process started it.
            ModelNotFound: The catalog has no such model; ``suggestions`` are near misses.
            ServiceUnreachable: The catalog or the model's server cannot be reached, or the runtime died.
            ServerError: The download failed otherwise, for example because the disk is full.
            ServiceTimeout: ``timeout`` passed without a step.
            DeadlineExceeded, Cancelled: ``until``, ``cancel``, or `close` ended it.
        """
        check_model_name(name)
        self._started()
        self._running_child().download(name, DownloadRequest(progress, timeout, until, cancel))

    def forget(
        self, id_: str, *, timeout: float = inf, until: float = inf, cancel: CancelToken | None = None
    ) -> None:
        """Have the runtime forget a model whose folder was deleted; it would take it for downloaded.

        The arguments and errors are those of `download`; a model that it does not know is forgotten already.
        """
        self._started()
        self._running_child().forget(id_, DownloadRequest(None, timeout, until, cancel))

    def _settle(self) -> None:
        """Wait for the end of a process that is dying, so that it is not taken for a living one."""
        child = self._child
        if child is not None:
            child.settle(_DYING)

    def _running_child(self) -> Child:
        """Return a child that serves; start a new one first after a crash."""
        if not self._is_wanted:
            raise Cancelled("the embedded runtime is closed")
        child = self._child
        if child is None or not child.url or not child.is_alive():
            self._count_revival()
            child = self._launch()
        return child

    def _count_revival(self) -> None:
        """Count a crash once, however many threads notice it."""
        now = clock.monotonic()
        with self._lock:
            child = self._child
            if child is None or child is self._counted or child.is_starting() or child.is_alive():
                return
            is_hopeless = len(self._revived) == _REVIVALS and now - self._revived[0] < _WINDOW
            if not is_hopeless:
                self._counted = child
                self._revived.append(now)
        if is_hopeless:
            raise ServiceUnreachable(
                f"the embedded runtime died {_REVIVALS} times within {_WINDOW:g} s and is left alone",
                sent=False,
                advice="Look at what was asked of it last; LocalRuntime.start() starts it again.",
            )

    @property
    def models(self) -> tuple[LocalModel, ...]:
        """Return the names under which the directories are served, in the order given."""
        return tuple(folder.model for folder in self._plan.folders)

    @property
    def url(self) -> str:
        """Return the base URL.

        Raises:
            ConfigError: The runtime is not started.
        """
        return self._started().url

    @property
    def pid(self) -> int:
        """Return the process id of the runtime.

        Raises:
            ConfigError: The runtime is not started.
        """
        return self._started().pid

    def is_alive(self) -> bool:
        """Return whether the runtime is up; it is not after a crash."""
        child = self._child
        return child is not None and bool(child.url) and child.is_alive()

    def __enter__(self) -> LocalRuntime:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        child = self._child
        state = child.url if child is not None and child.url else "not started"
        names = ", ".join(model.alias for model in self.models) or "public catalog"
        return f"<LocalRuntime {state}: {names}>"

    def _launch(self) -> Child:
        """Return the child that serves, started by this or by another thread."""
        child, is_ours = self._claim()
        if is_ours:
            child.launch()
        else:
            child.wait()
        return child

    def _claim(self) -> tuple[Child, bool]:
        """Return the child in use, or a new one that the caller has to launch, and whether it is new."""
        with self._lock:
            if not self._is_wanted:
                raise Cancelled("the embedded runtime is closed")
            child = self._child
            if child is not None and (child.is_alive() or child.is_starting()):
                return child, False
            stale, child = child, Child(self._plan)
            self._child = child
        if stale is not None:
            stale.end()
        return child, True

    def _started(self) -> Child:
        child = self._child
        if child is None or not child.url:
            raise ConfigError(
                "the runtime is not started", advice="Use it in a `with` statement, or call start() first."
            )
        return child


def _require_sdk() -> None:
    if sys.version_info < (3, 11):
        raise ConfigError("the embedded runtime needs Python 3.11 or newer", advice=f"Then: {_INSTALL}")
    if importlib.util.find_spec("foundry_local_sdk") is None:
        raise ConfigError("the embedded runtime is not installed", advice=f"Run: {_INSTALL}")
    installed = _sdk_version()
    if installed is not None and tuple(map(int, installed.groups())) < _OLDEST_SDK:
        raise ConfigError(
            f"the embedded runtime needs foundry-local-sdk {'.'.join(map(str, _OLDEST_SDK))} or newer, and "
            f"{installed[0]} is installed",
            advice=f"Run: {_INSTALL}",
        )


def _sdk_version() -> re.Match[str] | None:
    """Return the version of the installed SDK; ``None`` if its metadata does not tell."""
    try:
        version = importlib.metadata.version("foundry-local-sdk")
    except importlib.metadata.PackageNotFoundError:
        return None
    return re.match(r"(\d+)\.(\d+)\S*", version)


def _checked_host(host: object) -> str:
    if not isinstance(host, str) or not re.fullmatch(r"[A-Za-z0-9.-]+|\*", host):
        raise ConfigError(f"host must be a host name or an IPv4 address, not {host!r}")
    return host
