"""The key of an answer: a hash of everything that the answer depends on; pure.

Members of the body may stand in any order on the top level, where it means nothing. Below, every byte
counts: the order of a schema's properties is the order in which the model writes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.transport.call import Call

#: Number of this format, in every key: another way to build keys or to keep answers gets another number.
FORMAT = 1

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOTHING = (b"null", b"")


class Question(msgspec.Struct, frozen=True):
    """One call as the cache sees it.

    Attributes:
        call: The call.
        members: The members of its body, as JSON.
    """

    call: Call
    members: Mapping[str, msgspec.Raw]

    @classmethod
    def of(cls, call: Call) -> Question | None:
        """Return the question of a call; ``None`` for a body that is no JSON object."""
        try:
            return cls(call, _MEMBERS.decode(call.body or b""))
        except UNDECODABLE:
            return None

    @property
    def is_deterministic(self) -> bool:
        """Return whether the answer is the same each time: no chance, or a seed for it, or no text at all."""
        if self.call.path.endswith("/embeddings") or bytes(self.members.get("seed", b"null")) not in _NOTHING:
            return True
        try:
            return float(bytes(self.members.get("temperature", b"null"))) == 0
        except ValueError:
            return False

    @property
    def demands_call(self) -> bool:
        """Return whether the answer has to call a tool."""
        return bytes(self.members.get("tool_choice", b"null")) not in (*_NOTHING, b'"auto"', b'"none"')

    @property
    def demands_json(self) -> bool:
        """Return whether the answer has to be JSON."""
        wanted = bytes(self.members.get("response_format", b"null"))
        return wanted not in _NOTHING and b"json" in wanted

    def key(self, who: bytes) -> bytes:
        """Return the key of the answer; ``who`` answers and asks, see ``origin_of``."""
        call = self.call
        head = msgspec.json.encode((call.method, call.path, _sorted(call.options.headers)))
        body = b",".join(
            msgspec.json.encode(name) + b":" + bytes(value)
            for name, value in sorted(self.members.items(), key=_name)
        )
        # JSON on one line holds no line feed, so no two parts run together; the body is the last of them.
        return hashlib.sha256(b"\n".join((who, head, body))).digest()


def origin_of(who: str, generation: str, caller: str, namespace: str | None) -> bytes:
    """Return the part of a key that says who answers and who asks.

    Args:
        who: Name of who answers.
        generation: Its generation.
        caller: Hash of all by which the service may tell one caller from another.
        namespace: Name of the caller's own choice.
    """
    return msgspec.json.encode((FORMAT, namespace, who, generation, caller))


def _sorted(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((str(name).lower(), str(value)) for name, value in headers.items())


def _name(member: tuple[str, object]) -> str:
    return member[0]
