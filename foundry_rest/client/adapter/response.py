"""Answers as ``requests.Response``."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from io import BytesIO

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPResponse

from foundry_rest.client.adapter.stream import EventFile, PassedStream

_REASONS = {status.value: status.phrase for status in HTTPStatus}
#: They describe bytes on the wire, which were decoded; and where a redirect leads, which is not followed.
_NOT_PASSED_ON = ("Content-Encoding", "Transfer-Encoding", "Location")


def whole_response(
    request: requests.PreparedRequest,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    adapter: BaseAdapter,
) -> requests.Response:
    """Return the response for a whole answer."""
    raw = HTTPResponse(BytesIO(content), status=status, preload_content=False)
    return _response(request, status, headers, raw, adapter)


def streamed_response(
    request: requests.PreparedRequest, events: PassedStream, adapter: BaseAdapter
) -> requests.Response:
    """Return the response whose body is an open stream."""
    return _response(request, 200, events.headers, EventFile(events), adapter)


def _response(
    request: requests.PreparedRequest,
    status: int,
    headers: Mapping[str, str],
    raw: HTTPResponse | EventFile,
    adapter: BaseAdapter,
) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = status, _REASONS.get(status, "")
    response.headers = CaseInsensitiveDict(headers)
    for name in _NOT_PASSED_ON:
        response.headers.pop(name, None)
    response.encoding = get_encoding_from_headers(response.headers)
    response.url, response.request = str(request.url), request
    # As requests' own adapter does, for hooks that send again.
    vars(response).update(raw=raw, connection=adapter)
    return response
