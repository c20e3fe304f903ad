"""Whether an address answers with success: the health check of services that speak HTTP.

python docker/check.py http://localhost:8080/api/v2/monitor/health
"""

import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

SECONDS = 10


def main(url: str) -> int:
    """Return 0 if a GET of the address succeeds within ten seconds; else say why, and return 1."""
    try:
        build_opener(ProxyHandler({})).open(url, timeout=SECONDS).close()
    except (OSError, URLError) as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
