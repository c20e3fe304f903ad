"""Bytes that are nearly right: valid files, spoilt in places, as a seed number decides."""

import random
import re
from collections.abc import Callable, Sequence

Mutate = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

WORDS = (
    *(b"0", b"-1", b"1e999", b"NaN", b"9" * 400, b"0x7fffffff", b"4294967296", b"\0", b"\n", b"'"),
    *(
        b'"',
        b"<",
        b">",
        b"&#10;",
        b"&lol;",
        b"]]>",
        b"{",
        b"}",
        b"[" * 2500,
        b'{"a":' * 1500,
        b",",
        b":",
    ),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"../../etc/passwd", b"*a", b"&a"),
    *(b"null", b"true", b"[]", b"{}", b"!!python/name:os.system", b"\x1b[2J", b"@failure {"),
)
_NUMBER = re.compile(rb"\d+")


def mutate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of some valid files, spoilt in one to four places."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(MUTATIONS)(rng, data, seeds)
    return data


def _flip(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    spoilt = bytearray(data or b"\0")
    for _bit in range(rng.choice((1, 1, 8))):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _cut(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _take_out(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _place in range(2))
    return data[:start] + data[min(end, start + 64) :]


def _repeat(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _place in range(2))
    return data[:end] + data[start:end] * rng.choice((1, 3, 50)) + data[end:]


def _splice(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _put_word(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place, word = rng.randrange(len(data) + 1), rng.choice(WORDS)
    return data[:place] + word + data[place + rng.choice((0, len(word))) :]


def _put_number(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put another number in the place of one in a text."""
    found = list(_NUMBER.finditer(data[:100_000]))
    if not found:
        return data
    chosen = rng.choice(found)
    return data[: chosen.start()] + rng.choice(WORDS[:7]) + data[chosen.end() :]


def _put_size(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put an extreme whole number of 1 to 8 bytes somewhere: a length, an offset, a count."""
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice(
        (0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), rng.getrandbits(8 * width))
    )
    place = rng.randrange(len(data) + 1)
    order = "little" if rng.random() < 0.5 else "big"
    return data[:place] + value.to_bytes(width, order) + data[place + width :]  # type: ignore[arg-type]


MUTATIONS: Sequence[Mutate] = (
    _flip,
    _cut,
    _take_out,
    _repeat,
    _splice,
    _put_word,
    _put_number,
    _put_size,
)
