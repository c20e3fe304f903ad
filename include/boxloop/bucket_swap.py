"""Compare and swap of an object on Google Cloud Storage; the part of storage.py for leases.

Source: https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.storage import Bucket


def swap_blob(bucket: Bucket, key: str, expected: bytes | None, data: bytes | None) -> bool:
    """Do on a bucket what `boxloop.storage.swap_bytes` promises, by generations of the object."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    blob = bucket.get_blob(key)
    generation = 0 if blob is None else blob.generation
    try:
        if (blob and blob.download_as_bytes(if_generation_match=generation)) != expected:
            return False
        if data is not None:
            bucket.blob(key).upload_from_string(data, if_generation_match=generation)
        elif blob is not None:
            blob.delete(if_generation_match=generation)
    except NotFound:  # deleted meanwhile
        return False
    except PreconditionFailed:  # written meanwhile; by us, if an answer was lost on its way here
        found = bucket.get_blob(key)
        return found is not None and found.download_as_bytes() == data
    return True
