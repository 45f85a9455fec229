"""ResponseCache: the settings of a cache and its file, which never fails a call."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.cache.flights import Flights
from foundry_rest.checks import positive_seconds, seconds_from_zero, whole_number
from foundry_rest.errors import ConfigError
from foundry_rest.values import Value

if TYPE_CHECKING:
    from foundry_rest.cache.store import Kept, Store

T = TypeVar("T")

_logger = logging.getLogger("foundry_rest")

#: A quarter of a GiB holds some 20,000 answers of 64 pieces each.
MAX_BYTES = 256 * 1024 * 1024
#: A week in seconds: long enough for a job that runs each night, and models change seldom.
MAX_AGE = 7 * 24 * 3600.0
#: Fewest bytes: an empty file takes a quarter of that.
_FEWEST_BYTES = 128 * 1024
#: Seconds for which a file that failed is left alone.
_PAUSE = 5.0
#: Errors of a file system that may pass; all others are mistakes in the path.
_PASSING = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EBUSY")
    if hasattr(errno, name)
)


class CacheStats(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a cache file.

    Attributes:
        path: The file.
        entries: Number of answers.
        bytes: Bytes in use.
        oldest: Seconds since the oldest answer was kept; ``None`` without any.
        hits: How often the answers that are in it were used.
        by_model: Model -> ``{"entries": ..., "hits": ...}``.
    """

    path: str
    entries: int = 0
    bytes: int = 0
    oldest: float | None = None
    hits: int = 0
    by_model: dict[str, dict[str, int]] = {}


class _Side:
    """The reading or the writing of a file: left alone for a while after a failure, which is logged once."""

    def __init__(self, path: Path, done: str) -> None:
        self._path, self._done = path, done
        self._resumes_at = 0.0
        self._is_logged = False

    def run(self, work: Callable[[], T]) -> T | None:
        """Return what ``work`` returns; ``None`` where it fails, or did a moment ago."""
        if self._is_logged and clock.monotonic() < self._resumes_at:
            return None
        try:
            result = work()
        except (sqlite3.Error, OSError, ConfigError, OverflowError, ValueError) as error:
            self.fail(error)
            return None
        self._is_logged = False
        return result

    def fail(self, error: Exception) -> None:
        """Note a failure."""
        self._resumes_at = clock.monotonic() + _PAUSE
        if not self._is_logged:
            self._is_logged = True
            _logger.warning(
                "The cache %s cannot be %s (%s: %s); calls go on without it. Look at its folder.",
                self._path,
                self._done,
                type(error).__name__,
                error,
            )


class ResponseCache:
    """A cache of whole answers in a file of this user, which clients, threads and processes share.

    Give it as ``FoundryAPIClient(cache=...)``. What goes wrong with the file while it is used makes calls
    miss it, and is logged once; no call fails. It pickles as its settings.

    Args:
        path: The file, on a local disk; it is made, mode 0600, with its folder, mode 0700. Others may write
            in neither: not in a folder such as ``/tmp``.
        max_bytes: Most bytes of the file; the least recently used answers are removed.
        max_age: Seconds for which an answer is given.
        serve_stale: Seconds past its age for which an answer is still given while the circuit is open.
        namespace: Name of who asks, as a part of every key: needed where ``auth=`` or the session signs
            requests, for nobody sees then whose answers they get.

    Attributes:
        flights: The calls under way that may share an answer: those of all clients that were given this
            cache.

    Raises:
        ConfigError: A setting cannot be used, the file is not a cache, or a newer version made it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_BYTES,
        max_age: float = MAX_AGE,
        serve_stale: float = 0.0,
        namespace: str | None = None,
    ) -> None:
        if not isinstance(path, (str, os.PathLike)) or not str(path):
            raise ConfigError(f"cache must be a path or a ResponseCache, not {path!r}")
        try:
            self.path = Path(path).expanduser().absolute()
        except (RuntimeError, TypeError) as error:  # the user has no home; a path of bytes
            raise ConfigError(f"cache={str(path)!r} cannot be used: {error}") from None
        self.max_bytes = whole_number("max_bytes", max_bytes, _FEWEST_BYTES)
        self.max_age = positive_seconds("max_age", max_age)
        self.serve_stale = seconds_from_zero("serve_stale", serve_stale)
        if namespace is not None and (not isinstance(namespace, str) or not namespace):
            raise ConfigError(f"namespace must be a text that is not empty, not {namespace!r}")
        self.namespace = namespace
        self._reading, self._writing = _Side(self.path, "read"), _Side(self.path, "written")
        self.flights = Flights()
        self._store = self._open()

    @property
    def largest(self) -> int:
        """Return the most bytes of one answer."""
        return self._store.largest

    def find(self, key: bytes) -> Kept | None:
        """Return what is kept under a key; ``None`` for nothing, or where the file cannot be used now."""
        return self._reading.run(lambda: self._store.find(key))

    def note(self, key: bytes) -> None:
        """Note that what is kept under a key was used."""
        self._writing.run(lambda: self._store.note(key))

    def keep(self, key: bytes, model: str, answer: bytes, lifetime: float) -> None:
        """Keep an answer for ``lifetime`` seconds, and as stale for longer."""
        from foundry_rest.cache.store import Kept

        kept = Kept(answer, clock.now(), lifetime)
        forgotten = kept.created + lifetime + self.serve_stale
        self._writing.run(lambda: self._store.keep(key, model, kept, forgotten))

    def stats(self) -> CacheStats:
        """Return the figures of the file.

        Raises:
            ConfigError: The file cannot be read.
        """
        found = self._demanded(self._store.figures)
        return CacheStats(
            path=str(self._store.path),
            entries=sum(entries for _, entries, _ in found.models),
            bytes=found.bytes,
            oldest=None if found.oldest is None else max(0.0, clock.now() - found.oldest),
            hits=sum(hits for _, _, hits in found.models),
            by_model={name: {"entries": entries, "hits": hits} for name, entries, hits in found.models},
        )

    def clear(self, older_than: float = 0.0) -> int:
        """Remove the answers that were kept more than ``older_than`` seconds ago; return how many there were.

        Raises:
            ConfigError: The file cannot be written, or ``older_than`` is not a number of seconds.
        """
        seconds_from_zero("older_than", older_than)
        before = clock.now() - older_than if older_than else float("inf")
        return self._demanded(lambda: self._store.clear(before))

    def close(self) -> None:
        """Close the file, for all clients that use it; the next use opens it again."""
        self._writing.run(self._store.flush)
        self._store.close()

    def __reduce__(self) -> tuple[Callable[..., ResponseCache], tuple[object, ...]]:
        return _made, (str(self.path), self.max_bytes, self.max_age, self.serve_stale, self.namespace)

    def __repr__(self) -> str:
        return f"ResponseCache({str(self.path)!r})"

    def _open(self) -> Store:
        """Return the store, whose file is made or looked at here: a mistake in the path shows at once."""
        from foundry_rest.cache.store import Store

        store = Store(self.path, self.max_bytes)
        try:
            store.find(b"")
        except sqlite3.Error as error:
            self._reading.fail(error)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) not in _PASSING:
                raise ConfigError(
                    f"answers cannot be kept in {self.path}: {error}",
                    advice="Give a path in a folder of this user's own, on a local disk.",
                ) from error
            self._reading.fail(error)
        return store

    def _demanded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(f"the cache {self.path} cannot be used: {error}") from error


def _made(
    path: str, max_bytes: int, max_age: float, serve_stale: float, namespace: str | None
) -> ResponseCache:
    return ResponseCache(
        path, max_bytes=max_bytes, max_age=max_age, serve_stale=serve_stale, namespace=namespace
    )


def cache_of(given: ResponseCache | str | os.PathLike[str] | None) -> ResponseCache | None:
    """Return the cache that the argument ``cache`` of a client means."""
    return given if given is None or isinstance(given, ResponseCache) else ResponseCache(given)
