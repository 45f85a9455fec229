"""What tests on real engines share."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(module: str) -> pytest.MarkDecorator:
    """Return the mark of tests that need an engine."""
    reason = f'needs {module}: pip install -e ".[test-engines]"'
    return pytest.mark.skipif(find_spec(module) is None, reason=reason)
