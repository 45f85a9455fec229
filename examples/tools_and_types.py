"""Let the model call your functions, and get its answers as values of your own types.

FOUNDRY_MODEL=phi-4-mini python examples/tools_and_types.py
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from foundry_rest import FoundryAPIClient, FoundryError, InvalidReply, ToolLoopExceeded


@dataclass
class Person:
    """What the model is to answer: its fields are the schema."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return {"Paris": "18 degrees and sunny"}.get(city, "nobody knows")


def main() -> int:
    """Ask for a value, then let the model look something up."""
    with FoundryAPIClient() as client:
        try:
            person = client.complete("Give me a person as JSON", response_model=Person, temperature=0)
            print(f"{person.name} is {person.age}")

            run = client.chat.run_tools(
                "What is the weather in Paris?", functions=[get_weather], temperature=0, max_turns=4
            )
            for call in run.calls:
                print(f"asked {call.call.name}({call.call.arguments}): {call.result}")
            print(run.reply.content)
        except InvalidReply as error:
            print(f"no {Person.__name__} even when asked again: {error}", file=sys.stderr)
            return 1
        except ToolLoopExceeded as error:
            print(f"still calling after {error.turns} turns", file=sys.stderr)
            return 1
        except FoundryError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
