"""``foundry://`` as a scheme whose addresses requests prepares like those of HTTP.

For schemes that do not begin with ``http`` requests leaves an address as it was written, without ``params=``
(2.34.2, ``PreparedRequest.prepare_url``), and an adapter never sees what was left out.
"""

from __future__ import annotations

from collections.abc import Callable

import requests

from foundry_rest.client.adapter.request import SCHEME

_PREFIX = f"{SCHEME}://"
_STANDS_IN = "http://"

Prepare = Callable[[requests.PreparedRequest, str, object], None]


def teach_scheme() -> None:
    """Have requests prepare addresses of the scheme, from now on in this process; idempotent."""
    prepare = requests.PreparedRequest.prepare_url
    if not hasattr(prepare, "knows_foundry"):
        setattr(requests.PreparedRequest, prepare.__name__, _taught(prepare))


def _taught(prepare: Prepare) -> Prepare:
    def prepare_url(self: requests.PreparedRequest, url: str, params: object) -> None:
        """Prepare an address; one of the scheme as if it were one of HTTP."""
        text = url.lstrip() if isinstance(url, str) else url
        if not isinstance(text, str) or not text.lower().startswith(_PREFIX):
            prepare(self, url, params)
            return
        prepare(self, _STANDS_IN + text[len(_PREFIX) :], params)
        self.url = _PREFIX + str(self.url)[len(_STANDS_IN) :]

    prepare_url.knows_foundry = True  # type: ignore[attr-defined]
    return prepare_url
