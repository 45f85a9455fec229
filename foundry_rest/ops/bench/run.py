"""The bench itself: load, warm up, and send what the settings say, without anything that would distort it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from foundry_rest import clock
from foundry_rest.client import FoundryAPIClient
from foundry_rest.endpoints.window import Window
from foundry_rest.errors import Cancelled, ConfigError, UnsupportedByService
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.ops.bench.advice import grows
from foundry_rest.ops.bench.figures import BenchLevel, BenchRun, run_of
from foundry_rest.ops.bench.measuring import Measurement, measure
from foundry_rest.ops.bench.prompts import Length, Prompts, prompt_of
from foundry_rest.ops.bench.report import BenchReport, Warmup
from foundry_rest.ops.bench.settings import MOST_SWEPT, BenchSettings
from foundry_rest.transport.cancellation import CancelToken

#: Words of the two prompts by which the length of a word in tokens is measured.
_SHORT, _LONG = 16, 80


def bench(
    client: FoundryAPIClient,
    settings: BenchSettings | None = None,
    *,
    cancel: CancelToken | None = None,
    progress: Callable[[BenchRun], object] = lambda run: None,
) -> BenchReport:
    """Measure the service of a client.

    No call is tried twice or answered from a cache, and the client's own limits must not be lower than what
    is measured: make it with ``breaker=None``, ``auto_load=False`` and enough ``max_concurrency``.

    Args:
        client: Whose service is measured.
        settings: What is sent, and how; by default a sweep.
        cancel: Ends it at once; the report then holds the figures so far.
        progress: Called with the figures of each run.

    Raises:
        ConfigError: The client lets fewer calls through at a time than are to be measured.
        FoundryError: The service is not there, or cannot load the model; failures of requests are counted.
    """
    return _Bench(client, settings or BenchSettings(), cancel or CancelToken(), progress).run()


def swept(measured: Callable[[int], BenchLevel | None], most: int) -> Iterator[BenchLevel]:
    """Yield the levels of 1, 2, 4 and so on at a time, until one does not give 5 % more than that before it.

    Args:
        measured: Called with each number; returns its level, or ``None`` to end the sweep.
        most: Largest number.
    """
    number, before = 1, None
    while number <= most and (level := measured(number)) is not None:
        yield level
        if not (level.throughput if before is None else grows(before, level)):
            return
        number, before = 2 * number, level


class _Bench:
    """One bench under way."""

    def __init__(
        self,
        client: FoundryAPIClient,
        settings: BenchSettings,
        cancel: CancelToken,
        progress: Callable[[BenchRun], object],
    ) -> None:
        self._client, self._settings, self._progress = client, settings, progress
        self._cancel = cancel
        self._model = client.model if settings.model is None else settings.model
        self._prompts = Prompts(settings)
        slots = client.stats().slots.limit
        self._most = min(slots, MOST_SWEPT) if settings.is_sweep else slots
        if settings.level_from > slots:
            raise ConfigError(
                f"the client lets {slots} requests through at a time, not {settings.level_from}",
                advice=Advice(Words(f"Make it with max_concurrency={settings.level_from}.", "")),
            )

    def run(self) -> BenchReport:
        name, load, warmup = self._model, None, Warmup()
        levels: tuple[BenchLevel, ...] = ()
        try:
            name, load = self._load()
            warmup = self._warm_up()
            if self._settings.is_sweep:
                levels = tuple(swept(self._level, self._most))
            elif (level := self._level(self._settings.level_from)) is not None:
                levels = (level,)
        except Cancelled:
            if not self._cancel.cancelled:
                raise
        return BenchReport(
            url=self._client.url or "",
            generation=self._client.generation,
            model=name,
            settings=self._settings,
            load=load,
            warmup=warmup,
            levels=levels,
            interrupted=self._cancel.cancelled,
        )

    def _load(self) -> tuple[str, float | None]:
        """Load the model unless it is in memory; return its id, and how long that took."""
        try:
            before = {info.id for info in self._client.models.loaded(cancel=self._cancel)}
            began = clock.monotonic()
            info = self._client.models.ensure_loaded(self._model, cancel=self._cancel)
        except UnsupportedByService:  # it loads by itself, if it loads at all
            return self._model, None
        return info.id, None if info.id in before else clock.monotonic() - began

    def _warm_up(self) -> Warmup:
        """Send some requests that are in no figure, of which the first two tell how long a word is."""
        if not self._settings.prompts and self._settings.warmup >= 2:
            prompts = [prompt_of("short", _SHORT), prompt_of("long", _LONG)]
        else:
            prompts = []
        prompts += self._prompts.take(self._settings.warmup - len(prompts))
        found = [each for prompt in prompts if (each := self._measured(prompt, self._cancel)) is not None]
        if not self._settings.prompts and len(found) >= 2:
            tokens = found[0].prompt_tokens, found[1].prompt_tokens
            self._prompts.length = Length.between((_SHORT, tokens[0]), (_LONG, tokens[1]))
        return Warmup.of(found)

    def _level(self, concurrency: int) -> BenchLevel | None:
        runs: list[BenchRun] = []
        while len(runs) < self._settings.repeat and not self._cancel.cancelled:
            measurements = self._measurements(concurrency)
            if measurements:
                runs.append(run_of(concurrency, measurements, self._settings.goodput))
                self._progress(runs[-1])
        return BenchLevel(concurrency=concurrency, runs=tuple(runs)) if runs else None

    def _measurements(self, concurrency: int) -> list[Measurement]:
        # Made before the first is sent: a thread that makes prompts would slow those that read.
        prompts = self._prompts.take(self._settings.requests_at(concurrency))
        # A token of this run: the window ends its calls when it is left, by Ctrl-C, too.
        token = CancelToken()
        with self._cancel.watched(token.cancel):
            window = Window(
                partial(self._measured, cancel=token), prompts, concurrency, end_calls=token.cancel
            )
            with closing(window.groups()) as groups:
                return [each for group in groups for each in group if each is not None]

    def _measured(self, prompt: str, cancel: CancelToken) -> Measurement | None:
        """Return what one request showed; ``None`` for one that was not sent, or was ended from here."""
        if cancel.cancelled:
            return None
        found = measure(
            lambda: self._client.chat.stream(
                prompt,
                model=self._model,
                max_tokens=self._settings.max_tokens,
                temperature=0,
                retries=0,
                cache=False,
                cancel=cancel,
            )
        )
        return None if found.error and cancel.cancelled else found
