"""TranscriptionStream: one transcription in pieces."""

from __future__ import annotations

from foundry_rest import clock
from foundry_rest.schema.audio import Transcription, TranscriptionChunk
from foundry_rest.stream.answer import AnswerStream


class TranscriptionStream(AnswerStream[TranscriptionChunk]):
    """The pieces of one transcription, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream makes the service stop
    working on it. ``text`` holds what has come so far. One thread reads; any may close. No event says
    that the text is complete, so it is whole with ``[DONE]`` alone, even when nothing else came: the file
    is silent then.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's time ran out; the error holds the text so far.
        Cancelled: It was closed, here or in another thread; the error holds the text so far.
    """

    def _begin(self) -> None:
        self._id = ""

    def gather(self) -> Transcription:
        """Read the rest and return the whole transcription, what was read before included.

        ``bodies`` of the answer holds only the events that were read here.

        Raises:
            StreamInterrupted: The stream broke or ended early; the error holds the text so far.
            Cancelled: The stream was closed before its end.
        """
        self._kept = self._kept or []
        for _ in self:
            pass
        return Transcription(
            text=self.text,
            id=self._id,
            model=self._call.model,
            elapsed=clock.monotonic() - self._started,
            first_token=self.first_token,
            headers=self.headers,
            bodies=tuple(self._kept),
        )

    def _add(self, item: TranscriptionChunk) -> bool:
        self._id = self._id or item.id or ""
        if item.text:
            self._texts.append(item.text)
        return False

    def _judge_end(self, *, done: bool) -> None:
        if not done:
            super()._judge_end(done=False)
