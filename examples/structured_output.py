"""Get an answer as a value of your own type, checked, or an error.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL).
"""

import sys
from dataclasses import dataclass

from foundry_rest import FoundryAPIClient, FoundryError, InvalidReply


@dataclass
class Person:
    """What the model is to answer: its fields are the schema."""

    name: str
    age: int


def main() -> int:
    """Ask for a person; return 0 when one came."""
    with FoundryAPIClient() as client:
        try:
            person = client.complete("Give me a person as JSON", response_model=Person, temperature=0)
        except InvalidReply as error:
            print(f"no {Person.__name__} even when asked again: {error}", file=sys.stderr)
            return 1
        except FoundryError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"{person.name} is {person.age}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
