import pytest

from boxloop.gcs import client


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's policy, with shorter pauses."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    retry = DEFAULT_RETRY.with_delay(initial=0.01, maximum=0.05).with_timeout(10)
    monkeypatch.setattr(client, "_retry", lambda: retry)
