"""Where things are: a local path or `gs://bucket/key`; the part of storage.py for names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath


def is_remote(uri: str) -> bool:
    """Whether a URI is on Google Cloud Storage."""
    return uri.startswith("gs://")


def is_foreign(uri: str) -> bool:
    """Whether a URI is neither a path nor on Google Cloud Storage, such as https://host/x."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and "/" not in scheme and not is_remote(uri)


def absolute(uri: str) -> str:
    """Return a URI that means the same from any working directory, without a slash at its end.

    Raises:
        ValueError: if it is neither a path nor on Google Cloud Storage; a login in it is not told.
    """
    if is_remote(uri):
        return uri.rstrip("/")
    if is_foreign(uri):
        raise ValueError(
            f"{uri.partition(':')[0]}://... is no place of files for Boxloop: name a folder, or "
            "gs://bucket/prefix"
        )
    return str(Path(uri).resolve())


def safe_join(folder_uri: str, name: str) -> str:
    """Return the URI of a file named by somebody else's data, inside a folder of ours.

    Raises:
        ValueError: if the name leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise ValueError(f"{name!r} leads out of {folder_uri}")
    return f"{folder_uri.rstrip('/')}/{'/'.join(parts)}"
