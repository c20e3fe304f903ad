"""Move a local folder aside; the part of storage.py that does."""

from __future__ import annotations

from pathlib import Path


def move_local(folder: Path, target: Path) -> None:
    """Move a folder at once; file by file where there is a target already."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        return
    for path in sorted(folder.iterdir()):  # somebody made it anew after an earlier move
        if path.is_dir():
            move_local(path, target / path.name)
        else:
            path.replace(target / path.name)
    folder.rmdir()
