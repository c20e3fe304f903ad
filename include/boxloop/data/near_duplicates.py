"""Groups images whose hashes are nearly equal, so that a split can keep them on one side.

Two hashes of a distance of at most d bits, cut into d + 1 chunks, agree in one chunk at least:
only hashes that do are compared. Chunks are made of bits that vary as much as each other, since
pictures on a white ground agree in half of all bits; and hashes that are in one group by then are
not compared again, since the pictures of a fixed camera agree in nearly all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_BITS = 64
_REACHES = (16, 256, 1 << 62)  # hashes each is compared with before what is joined is left out

_Hashes: TypeAlias = NDArray[np.uint64]
_Labels: TypeAlias = NDArray[np.intp]


def group_near_duplicates(hashes: Mapping[str, int], *, max_distance: int = 4) -> dict[str, str]:
    """Return each image's group, named after its first image by name.

    Images are in one group where a chain of images leads from one to the other, each of a hash at
    most `max_distance` bits from the next.

    Args:
        hashes: image id -> 64 bits, as data/images.py takes them.
        max_distance: bits; 0 groups equal hashes only. Time grows steeply beyond 8.

    Raises:
        ValueError: if max_distance is not in [0, 63].

    Source: Manku et al., "Detecting Near-Duplicates for Web Crawling", WWW 2007, section 3.
    """
    if not 0 <= max_distance < _BITS:
        raise ValueError(f"max_distance must be in [0, 63] bits, got {max_distance}")
    if not hashes:
        return {}
    names = sorted(hashes)
    numbers = np.array([hashes[name] for name in names], dtype=np.uint64)
    unique, places = np.unique(numbers, return_inverse=True)
    labels = _label(unique, max_distance)[places].tolist()
    first: dict[int, str] = {}
    return {name: first.setdefault(label, name) for name, label in zip(names, labels, strict=True)}


def _label(unique: _Hashes, max_distance: int) -> _Labels:
    """Return the number of each hash's group: the place of its first hash.

    Args:
        unique: shape (N,), each once.
        max_distance: bits.
    """
    labels = np.arange(len(unique))
    for mask in _chunks(unique, max_distance + 1):
        for reach in _REACHES:
            _join_agreeing(unique, unique & mask, labels, max_distance=max_distance, reach=reach)
    return labels


def _chunks(unique: _Hashes, num: int) -> Iterator[np.uint64]:
    """Yield masks that part the 64 bits, each with its share of those that tell most."""
    bits = np.unpackbits(unique[:, None].byteswap().view(np.uint8), axis=1)
    order = np.argsort(np.abs(bits.mean(axis=0) - 0.5), kind="stable")
    for number in range(num):
        mask = sum(1 << (_BITS - 1 - int(bit)) for bit in order[number::num])
        yield np.uint64(mask)


def _join_agreeing(
    hashes: _Hashes, keys: _Hashes, labels: _Labels, *, max_distance: int, reach: int
) -> None:
    """Join, in `labels`, what is near among hashes of one key, but not of one group yet.

    Each is compared with up to `reach` others: those that come after its group, when its key's
    hashes are sorted by group.
    """
    order = np.lexsort((labels, keys))
    sorted_hashes, sorted_keys, sorted_labels = hashes[order], keys[order], labels[order]
    is_new_key = sorted_keys[1:] != sorted_keys[:-1]
    key_ends = _run_ends(is_new_key)
    others = _run_ends(is_new_key | (sorted_labels[1:] != sorted_labels[:-1]))
    ahead = key_ends - others  # how many each is to be compared with; the most comes first
    left = np.argsort(-ahead, kind="stable")
    ended, left_hashes, others = -ahead[left], sorted_hashes[left], others[left]
    for step in range(min(reach, int(ahead.max()))):
        num = np.searchsorted(ended, -step)
        distances = np.bitwise_count(left_hashes[:num] ^ sorted_hashes[others[:num] + step])
        near = np.flatnonzero(distances <= max_distance)
        _join(labels, order[left[near]], order[others[near] + step])


def _run_ends(is_new: NDArray[np.bool_]) -> _Labels:
    """Return the end of each of N + 1 things' run, given which differ from the one before."""
    bounds = np.append(np.flatnonzero(is_new) + 1, len(is_new) + 1)
    return np.repeat(bounds, np.diff(bounds, prepend=0))


def _join(labels: _Labels, left: _Labels, right: _Labels) -> None:
    """Give each pair, and all that share its labels, the lower label; in place."""
    while len(left):
        low, high = np.sort(labels[np.stack([left, right])], axis=0)
        is_apart = low != high
        if not is_apart.any():
            return
        np.minimum.at(labels, high[is_apart], low[is_apart])
        while not np.array_equal(roots := labels[labels], labels):
            labels[:] = roots
