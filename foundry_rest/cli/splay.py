"""`--splay`: a random wait before the command begins, so that many machines do not begin in one instant."""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Callable

from foundry_rest import clock
from foundry_rest.checks import seconds_from_zero


def splayed(command: Callable[[Namespace], int], arguments: Namespace) -> int:
    """Run a command after a random wait of at most ``arguments.splay`` seconds.

    Raises:
        ConfigError: It is no number of seconds.
    """
    most = seconds_from_zero("--splay", arguments.splay)
    clock.sleep(random.uniform(0.0, most))  # noqa: S311 (no secret)
    return command(arguments)
