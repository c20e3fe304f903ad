"""What stands in for a running Airflow."""

import json
from typing import Any


class Store(dict[str, Any]):
    """Airflow's task state store, and how often it was written to."""

    writes = 0

    def set(self, key: str, value: Any) -> None:
        self.writes += 1
        self[key] = json.loads(json.dumps(value, allow_nan=False))

    def delete(self, key: str) -> None:
        self.pop(key, None)
