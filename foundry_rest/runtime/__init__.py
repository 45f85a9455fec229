"""The embedded default: Microsoft's native runtime, hosted for you with your own model directories.

Public names: `LocalRuntime`, the `LocalModel` values it lists, and `demo_model_dir`.

The native library lives in a child process and nowhere else: it cannot crash its parent, and it
cannot outlive it.
"""

from __future__ import annotations

from foundry_rest.runtime.demo_model import demo_model_dir
from foundry_rest.runtime.local_runtime import LocalRuntime
from foundry_rest.runtime.model_folders import LocalModel

__all__ = ["LocalModel", "LocalRuntime", "demo_model_dir"]
