"""Where this machine keeps what it has fetched."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of all caches: below $BOXLOOP_CACHE, $XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get("BOXLOOP_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "boxloop"
