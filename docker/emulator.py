"""The emulated Google Cloud Storage of the profile `local`: `python docker/emulator.py start ...`.

It is `gcp-storage-emulator`, but that a download of what is not there is told as Google tells it:
Airflow's Google provider knows a log that is not there yet by these words, and else keeps it to
itself ("Refusing to overwrite remote log").
"""

import sys
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator.handlers import objects

_download = objects.download


def download(request: Any, response: Any, storage: Any, *arguments: Any, **named: Any) -> None:
    """Answer a download as the emulator does, and say which object is not there."""
    _download(request, response, storage, *arguments, **named)
    if response.status == HTTPStatus.NOT_FOUND:
        name = "{bucket_name}/{object_id}".format(**request.params)
        response.write(f"No such object: {name}")


objects.download = download

if __name__ == "__main__":
    from gcp_storage_emulator.__main__ import main  # which takes the handlers as they are now

    sys.exit(main(sys.argv[1:]))
