"""AdaptiveTransport: attempts whose time-outs follow what the service was observed to take.

It times what the caller would wait for: the first event of a chat stream, and the longest wait between two
events of one that was read to its end. Either is at least the silence on the connection that a time-out
bounds, because a comment ends a silence and is no event; so an estimate errs on the long side.

How long an answer takes cannot be told from a request without a stream (it depends on the answer), with tools
(a service may keep the call of a function back until it is whole), with pictures or sound, or in a
conversation that the service keeps. Those have the ceiling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors import FoundryError, ModelNotLoaded, ServiceTimeout, ServiceUnreachable
from foundry_rest.events import Event
from foundry_rest.resilience.adaptive_history import FIRST_TOKEN, IDLE, History, Timing
from foundry_rest.timeouts import AdaptiveTimeouts
from foundry_rest.transport.call import Call, Reply
from foundry_rest.transport.fork import renew_after_fork
from foundry_rest.transport.interfaces import OpenReply, Target, Transport
from foundry_rest.transport.wrapped_stream import WrappedStream

#: The operations that follow; what their bodies must not hold. In a text the quotes would be escaped.
_LABELS = ("chat.",)
_UNPREDICTABLE = (b'"tools":', b'"image_url":', b'"input_audio":')
#: The operation after which a model answers for the first time.
_LOAD = "models.load"
#: Signs that the next answer comes from a process, or a model in memory, of which nothing is known.
_NEW_STARTS: dict[type[BaseException], str] = {
    ServiceUnreachable: "the connection to the service broke",
    ModelNotLoaded: "the model was not in memory",
}
#: Operations, models and addresses of which something is remembered; a client has a handful.
_MOST_HISTORIES = 64


class AdaptiveTransport:
    """A transport that gives each attempt the time-outs that fit, and learns from it.

    Args:
        inner: Makes the attempt.
        emit: Called with every ``TimeoutChanged``.
    """

    def __init__(self, inner: Transport, emit: Callable[[Event], None]) -> None:
        self._inner, self._emit = inner, emit
        # No locks: each change of a dict, a set or a deque is one step.
        self._histories: dict[tuple[str, str, str], History] = {}
        self._under_way: set[object] = set()
        renew_after_fork(self)

    def send(self, call: Call, target: Target) -> Reply:
        """Return the whole answer of one attempt."""
        token = object()
        self._under_way.add(token)
        try:
            reply = self._inner.send(call, target)
        except FoundryError as error:
            self._take_in(target, error)
            raise
        finally:
            self._under_way.discard(token)
        if call.label == _LOAD:
            self._start_anew(target, "a model was loaded")
        return reply

    def open(self, call: Call, target: Target) -> OpenReply:
        """Return the open stream of one attempt."""
        token, began = object(), clock.monotonic()
        self._under_way.add(token)
        timing = self._timing(call, target, began)
        try:
            opened = self._inner.open(call if timing is None else self._adapted(call, timing, began), target)
        except BaseException as error:
            self._under_way.discard(token)
            self._take_in(target, error, timing, clock.monotonic() - began)
            raise
        if timing is not None:
            timing.note(FIRST_TOKEN, clock.monotonic() - began)
        return _TimedStream(
            opened,
            timing,
            lambda *failure: self._take_in(target, *failure),
            lambda: self._under_way.discard(token),
        )

    def close(self) -> None:
        """Close every connection and end every wait."""
        self._inner.close()

    def renew(self) -> None:
        """Forget the calls of the parent process."""
        self._under_way.clear()

    def _take_in(
        self, target: Target, error: BaseException, timing: Timing | None = None, seconds: float = 0.0
    ) -> None:
        """Learn from the failure of an attempt that was silent for so many seconds."""
        if timing is not None and isinstance(error, ServiceTimeout):
            timing.time_out(error, seconds)
        reason = _NEW_STARTS.get(type(error))
        if reason is not None:
            self._start_anew(target, reason)

    def _timing(self, call: Call, target: Target, now: float) -> Timing | None:
        """Return the timing of an attempt; ``None`` if the time it takes does not follow from its prompt."""
        body = call.body
        if body is None or not call.label.startswith(_LABELS) or any(each in body for each in _UNPREDICTABLE):
            return None
        names = target.url, call.label, call.model
        history = self._histories.get(names)
        if history is None:
            if len(self._histories) >= _MOST_HISTORIES:
                self._histories.clear()
            history = History(target, names)
        self._histories[names] = history = history.for_target(target, now)
        return Timing(history, len(body), len(self._under_way))

    def _adapted(self, call: Call, timing: Timing, now: float) -> Call:
        """Return the call with the time-outs that fit."""
        given = call.options.timeouts
        if not isinstance(given, AdaptiveTimeouts):
            return call
        timeouts, changes = timing.adapt(given, now)
        for change in changes:
            self._emit(change)
        return replace(call, options=replace(call.options, timeouts=timeouts))

    def _start_anew(self, target: Target, reason: str) -> None:
        """Forget what was observed at an address."""
        for names, history in self._histories.copy().items():
            if names[0] == target.url:
                self._histories[names] = history.renewed(target, reason)


class _TimedStream(WrappedStream):
    """An open stream whose longest wait is noted at its end.

    Args:
        inner: The open stream.
        timing: Where it is noted; ``None`` for nowhere.
        take_in: Learns from an error of that attempt, after so many seconds of silence.
        end: Called when the stream is over.
    """

    def __init__(
        self,
        inner: OpenReply,
        timing: Timing | None,
        take_in: Callable[[FoundryError, Timing | None, float], None],
        end: Callable[[], None],
    ) -> None:
        super().__init__(inner)
        self._timing, self._take_in, self._end = timing, take_in, end
        self._longest = 0.0

    def __iter__(self) -> Iterator[bytes]:
        events, now = iter(self.inner), clock.monotonic
        while True:
            began = now()
            try:
                event = next(events, None)
            except FoundryError as error:
                self._take_in(error, self._timing, now() - began)
                raise
            if event is None:
                return
            took = now() - began
            if took > self._longest:  # noqa: PLR1730 (max() takes three times as long)
                self._longest = took
            yield event

    def set_idle(self, seconds: float) -> None:
        """Bound the time for the rest of the stream, which tells nothing about the answer any more."""
        self._note()
        super().set_idle(seconds)

    def fail(self, error: FoundryError) -> None:
        """Record the error that ended the stream early, so that its waits do not count."""
        self._timing = None
        super().fail(error)

    def finish(self) -> None:
        """Release the connection for reuse after the last event."""
        self._note()
        self._end()
        super().finish()

    def close(self) -> None:
        """Abandon the stream at once; from any thread."""
        self._end()
        super().close()

    def _note(self) -> None:
        timing, self._timing = self._timing, None
        if timing is not None:
            timing.note(IDLE, self._longest)
