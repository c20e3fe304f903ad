"""What goes wrong with requests to a bucket; see faulty_bucket.py."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

KINDS = {
    "status": "answer `status`; the request is not obeyed",
    "late_status": "obey the request, then answer `status`",
    "cut_before": "close the connection; the request is not obeyed",
    "cut_after": "obey the request, then close the connection without an answer",
    "cut_request": "close the connection when half of the request has come",
    "cut_answer": "close the connection when `share` of the answer's body has gone",
    "hang": "say nothing for `seconds`, then close the connection; the request is not obeyed",
    "slow": "obey after `seconds`",
    "corrupt": "change one byte of an answer with content; its announced check sum stays",
    "corrupt_request": "change the last but one of an upload's bytes before it is obeyed",
    "other_writer": "just before this request, another writer puts `content` there",
}


@dataclass
class Fault:
    """What goes wrong, and with which requests."""

    kind: str
    """One of KINDS."""
    where: str = ""
    """Regular expression searched in "METHOD /path?query", percent signs decoded."""
    count: int = 1
    """How many requests are struck; -1: any number."""
    skip: int = 0
    """How many matching requests are let through first."""
    rate: float = 1.0
    """Share of the matching requests, in (0, 1], that is struck, by chance with a fixed seed."""
    status: int = 503
    seconds: float = 0.5
    share: float = 0.5
    content: str = "another writer's"
    struck: int = 0
    """How often it struck until now."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault {self.kind!r} is none of {', '.join(KINDS)}")

    def strikes(self, line: str, chance: random.Random) -> bool:
        """Whether it strikes this request; counts it if so."""
        if self.struck == self.count or not re.search(self.where, line):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if chance.random() >= self.rate:
            return False
        self.struck += 1
        return True
