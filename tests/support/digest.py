"""A service behind digest authentication (RFC 7616), which checks what it is sent from the ground up."""

from __future__ import annotations

import hashlib
import itertools
import re
import threading

from foundry_rest.testing import json_error

USER, PASSWORD, REALM = "Mufasa", "Circle of Life", "http-auth@example.org"
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256, None: hashlib.md5}
_FIELD = re.compile(r'(\w+)="?([^",]*)"?')


class DigestGuard:
    """A guard in front of a server's answers; each nonce serves ``uses`` requests, and counts them.

    Args:
        answer: What an authorised request gets, as ``FaultServer.on`` takes it.
        algorithm: ``"MD5"``, ``"SHA-256"``, or ``None`` to name none.
        quality: The qop offered, such as ``"auth"`` or ``"auth,auth-int"``; ``None`` for RFC 2069's.
        uses: Requests after which a nonce is stale.
    """

    def __init__(self, answer, algorithm="MD5", quality="auth", uses=1_000_000):
        self._answer, self._algorithm, self._quality, self._uses = answer, algorithm, quality, uses
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._seen = {}
        self.refused = 0

    def __call__(self, request):
        """Answer a request, or ask for its authentication."""
        fields = dict(_FIELD.findall(request.headers.get("Authorization") or ""))
        if fields and self._proves(request, fields) and self._take(fields):
            return self._answer(request) if callable(self._answer) else self._answer
        with self._lock:
            self.refused += 1
            return json_error(401, "who are you?", headers=[("WWW-Authenticate", self._challenge(fields))])

    def _challenge(self, fields):
        nonce = f"nonce-{next(self._numbers)}"
        self._seen[nonce] = 0
        more = f', qop="{self._quality}"' if self._quality else ""
        more += f", algorithm={self._algorithm}" if self._algorithm else ""
        more += ", stale=true" if fields else ""
        return f'Digest realm="{REALM}", nonce="{nonce}", opaque="5ccc"{more}'

    def _proves(self, request, fields):
        target = request.path + (f"?{request.query}" if request.query else "")
        secret = self._hash(USER, REALM, PASSWORD)
        asked = self._hash(request.method, target)
        middle = (
            (fields["nonce"], fields["nc"], fields["cnonce"], "auth") if self._quality else (fields["nonce"],)
        )
        return (
            fields["uri"] == target
            and fields["username"] == USER
            and fields["opaque"] == "5ccc"
            and fields["response"] == self._hash(secret, *middle, asked)
        )

    def _take(self, fields):
        """Count a use of a nonce; refuse an unknown one, one that is used up, and a count that was seen."""
        with self._lock:
            used = self._seen.get(fields["nonce"], self._uses)
            count = int(fields.get("nc", "0"), 16) or used + 1
            if used >= self._uses or count <= used:
                return False
            self._seen[fields["nonce"]] = count
            return True

    def _hash(self, *parts):
        return _HASHES[self._algorithm](":".join(parts).encode()).hexdigest()
