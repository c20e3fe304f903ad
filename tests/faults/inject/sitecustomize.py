"""Python imports this at its start, where this folder is on its path: the faults' way in.

Nothing of the product knows of it. When a module of the product is imported for the first time,
`fault_points` puts its hooks around some of that module's functions.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULES = (
    "boxloop.checkpoint_keeper",
    "boxloop.data.demo",
    "boxloop.detector.tflite",
    "boxloop.heartbeat",
    "boxloop.ledger",
    "boxloop.plan",
    "boxloop.steps",
    "boxloop.storage",
    "psutil._pslinux",
)


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        import fault_points  # type: ignore[import-not-found]  # beside this file

        self._loader.exec_module(module)
        fault_points.patch(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self) -> None:
        self._looking: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in MODULES or fullname in self._looking:
            return None
        self._looking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


if os.environ.get("BOXLOOP_FAULTS"):
    sys.meta_path.insert(0, _Finder())
