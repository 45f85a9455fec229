"""What is wrong with the files that TLS settings name: looked at only after a connection failed."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

#: The variables that requests reads, in its order.
_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def unusable_file(settings: Mapping[str, Any]) -> str:
    """Return which file of ``verify`` and ``cert`` cannot be used, who named it, and why; ``""`` for none."""
    verify, cert = settings.get("verify"), settings.get("cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(verify, (str, os.PathLike)):
        source = next((name for name in _VARIABLES if os.environ.get(name) == verify), "session.verify")
        reason = _reason(partial(_load_bundle, context, verify))
        if reason:
            return f"the CA bundle {os.fspath(verify)!r} ({source}) cannot be used: {reason}"
    file, key = cert if isinstance(cert, tuple) else (cert, None)
    # The empty password, because OpenSSL would ask the terminal for one.
    reason = _reason(partial(context.load_cert_chain, file, key, password="")) if cert else ""
    names = " and ".join(repr(str(name)) for name in (file, key) if name is not None)
    return f"the client certificate {names} (session.cert) cannot be used: {reason}" if reason else ""


def _load_bundle(context: ssl.SSLContext, path: str | os.PathLike[str]) -> None:
    if not Path(path).is_dir():
        context.load_verify_locations(path)


def _reason(load: Callable[[], object]) -> str:
    try:
        load()
    except (OSError, ValueError, TypeError) as error:
        words = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        return str(words).lower().replace("_", " ")
    return ""
