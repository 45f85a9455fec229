"""The request of a 0.x download, and the parser of its lines (docs/reference/service.md, section 13)."""

from __future__ import annotations

import re

import msgspec

from foundry_rest.dialects.case_insensitive import convert_any_case, decode_any_case
from foundry_rest.errors import ConfigError, InvalidReply, ServiceError
from foundry_rest.errors.bodies import service_error
from foundry_rest.errors.parsing import error_in
from foundry_rest.schema import DownloadStep, ModelInfo

#: ``("model.onnx", 0.42)`` as documented; a .NET tuple prints the name without quotes.
_PAIR = re.compile(
    r"""\(\s*["']?(?P<file>.*?)["']?\s*,\s*(?P<number>\d+([.,]\d+)?(E[+-]?\d+)?)\s*\)""", re.IGNORECASE
)
#: ``Total 42.0% Downloading model.onnx`` of 0.8; some locales write a comma in the number.
_PERCENT = re.compile(r"(?P<number>\d+([.,]\d+)?) ?%")
_ADVICE = "Check disk space and network of the service's machine, then download it again."


class _Source(msgspec.Struct):
    uri: str
    providertype: str = "AzureFoundry"
    publisher: str | None = None
    prompttemplate: object = None


class _Outcome(msgspec.Struct):
    success: bool
    errormessage: str | None = None


def source_of(info: ModelInfo) -> dict[str, object]:
    """Return the ``model`` object of the request, as Microsoft's client builds it.

    The name includes the version, because the service would otherwise register version 0.

    Raises:
        ConfigError: ``info`` does not come from this service's catalog.
    """
    try:
        source = convert_any_case(info.raw, _Source, b"")
    except InvalidReply:
        raise ConfigError(
            f"model {info.id!r} cannot be downloaded: its catalog entry has no address (uri); "
            "take the model from client.models.catalog()",
            call="models.download",
        ) from None
    kind = source.providertype
    return {
        "Name": info.id if ":" in info.id or not info.version else f"{info.id}:{info.version}",
        "Uri": source.uri,
        "Publisher": source.publisher,
        "ProviderType": f"{kind}Local" if kind == "AzureFoundry" else kind,
        "PromptTemplate": source.prompttemplate,
    }


class Steps:
    """A parser of a download's lines, in order; a line without a number repeats the last total progress."""

    def __init__(self) -> None:
        self._total = 0.0

    def __call__(self, line: bytes) -> DownloadStep:
        """Return the step that a line of progress or the final object describes.

        Raises:
            ServiceError: The service reports that the download failed.
            InvalidReply: The final object does not state the outcome.
        """
        if line.startswith(b"{"):
            return _parse_outcome(line)
        text = line.decode("utf-8", "replace")
        pair, percent = _PAIR.fullmatch(text), _PERCENT.search(text)
        if pair and pair["file"]:
            return DownloadStep(fraction=_fraction(pair["number"]), file=pair["file"])
        if pair:
            self._total = _fraction(pair["number"])
        elif percent:
            self._total = _fraction(percent["number"], of=100)
        return DownloadStep(fraction=self._total)


def _fraction(number: str, of: int = 1) -> float:
    return min(float(number.replace(",", ".")) / of, 1.0)


def _parse_outcome(body: bytes) -> DownloadStep:
    """Return the last step, or raise the failure that the service reports.

    The failure is not a ServerError, which the circuit breaker would count: the HTTP status was 200, and a
    full disk or an unreachable catalog does not mean that the service is broken.
    """
    error = error_in(body)
    if error is not None:
        raise error
    outcome = decode_any_case(body, _Outcome)
    if outcome.success:
        return DownloadStep(fraction=1.0, done=True)
    error = service_error(200, {}, body)
    if not outcome.errormessage:
        error = ServiceError("the download failed, and the service does not say why", status=200, body=body)
    error.advice = error.advice or _ADVICE
    raise error
