"""DownloadStream: the progress of one download."""

from __future__ import annotations

from typing import NoReturn

from foundry_rest.errors import FoundryError, ServiceTimeout, ServiceUnreachable, StreamInterrupted
from foundry_rest.schema import DownloadStep
from foundry_rest.stream.answer import AnswerStream

_ADVICE = "Download it again: the service goes on where it stopped."


class DownloadStream(AnswerStream[DownloadStep]):
    """The steps of a download, which is complete only when the service reports that it is done.

    Raises:
        ServiceError: The service reports that the download failed.
        StreamInterrupted: The service fell silent or closed the connection before that.
    """

    def _add(self, item: DownloadStep) -> bool:
        return item.done

    def _check_end(self, *, done: bool) -> None:  # noqa: ARG002 (a download has no [DONE])
        if not self._answered:
            raise StreamInterrupted(
                "the download ended before the service said that it is done", advice=_ADVICE
            )

    def _fail(self, error: FoundryError) -> NoReturn:
        if isinstance(error, (ServiceUnreachable, ServiceTimeout)):
            broken = StreamInterrupted(f"the download broke off: {error.message}", advice=_ADVICE)
            broken.__cause__, error = error, broken
        super()._fail(error)
