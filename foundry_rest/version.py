"""The version, for what is sent: the package itself imports nothing, and reading its metadata takes files."""

from __future__ import annotations

#: Equal to ``foundry_rest.__version__``.
VERSION = "0.1.0"
