import pytest
from fastapi import HTTPException, Request

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx`")  # Airflow imports FastAPI's client


@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [("http://inner:8080", True), ("https://airflow.example", True), ("https://evil", False)],
)
def test_a_proxy_may_tell_another_host_than_the_browsers(
    monkeypatch: pytest.MonkeyPatch, origin: str, is_ours: bool
) -> None:
    from boxloop_airflow.pages.rights import check_sender

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/path")
    headers = {"content-type": "application/json", "origin": origin, "host": "inner:8080"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "headers": raw})
    if is_ours:
        check_sender(request)
    else:
        with pytest.raises(HTTPException, match="403"):
            check_sender(request)
