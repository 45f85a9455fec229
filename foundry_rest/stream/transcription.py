"""TranscriptionStream: one transcription in pieces."""

from __future__ import annotations

from foundry_rest import clock
from foundry_rest.raw_json import HalfJoiner
from foundry_rest.schema.audio import Transcription, TranscriptionChunk
from foundry_rest.stream.answer import AnswerStream


class TranscriptionStream(AnswerStream[TranscriptionChunk]):
    """The pieces of one transcription, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream makes the service stop
    transcribing. ``text`` holds what has arrived so far. One thread reads; any thread may close. No event
    marks the text as complete, so ``[DONE]`` alone does, even when nothing came before it: the file is then
    silent.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's deadline passed; the error holds the text so far.
        Cancelled: The stream was closed, here or in another thread; the error holds the text so far.
    """

    def _initialise(self) -> None:
        self._id = ""
        self._halves = HalfJoiner()

    def gather(self) -> Transcription:
        """Read the rest of the stream and return the whole transcription, including what was read before.

        ``bodies`` of the transcription holds only the events that this method read.

        Raises:
            StreamInterrupted: The stream broke or ended early; the error holds the text so far.
            Cancelled: The stream was closed before its end.
        """
        self._kept_events = self._kept_events or []
        for _ in self:
            pass
        return Transcription(
            text=self.text,
            id=self._id,
            model=self._call.model,
            elapsed=clock.monotonic() - self._started,
            first_token=self.first_token,
            headers=self.headers,
            bodies=tuple(self._kept_events),
        )

    def _add(self, item: TranscriptionChunk) -> bool:
        self._id = self._id or item.id or ""
        if self._halves.held or not item.text.isascii():
            item.text = self._halves.join(item.text)
        if item.text:
            self._texts.append(item.text)
        return False

    def _check_end(self, *, done: bool) -> None:
        if half := self._halves.flush():
            self._texts.append(half)
        if not done:
            super()._check_end(done=False)
