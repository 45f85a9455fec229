"""ServiceSpec: one of several services that a client may ask."""

from __future__ import annotations

import msgspec

from foundry_rest.checks import positive_number
from foundry_rest.config import base_url, base_urls, checked_key
from foundry_rest.errors import ConfigError
from foundry_rest.schema.request import check_model_name


class ServiceSpec(msgspec.Struct, frozen=True):
    """One of several services that a client may ask.

    Attributes:
        url: Base URL.
        weight: How many calls it can bear, in proportion to the others'.
        model: Model that is asked there where a call names none; the client's default model by default.
        api_key: Sent there in place of the client's key; not part of ``repr``.

    Raises:
        ConfigError: A value cannot be used.
    """

    url: str
    weight: float = 1.0
    model: str | None = None
    api_key: str | None = None

    def __post_init__(self) -> None:
        base_url(self.url)
        positive_number("weight", self.weight)
        if self.model is not None:
            check_model_name(self.model)
        if self.api_key is not None:
            checked_key(self.api_key)

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return the fields that ``repr`` shows: all but the key."""
        return [(name, getattr(self, name)) for name in ("url", "weight", "model")]

    def __repr__(self) -> str:
        return f"ServiceSpec({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


def services_of(given: object) -> tuple[ServiceSpec, ...]:
    """Return the services of a client's argument ``services``: addresses, or specs.

    Raises:
        ConfigError: There is none, one twice, or one that cannot be used.
    """
    if isinstance(given, (str, ServiceSpec)) or not hasattr(given, "__iter__"):
        raise ConfigError(f"services must be a list of addresses or ServiceSpec, not {type(given).__name__}")
    specs = tuple(each if isinstance(each, ServiceSpec) else ServiceSpec(each) for each in given)
    if not specs:
        raise ConfigError("services is empty: name at least one address")
    base_urls(",".join(spec.url for spec in specs))
    return specs
