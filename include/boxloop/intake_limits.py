"""How much of an inbox a night trusts: over a limit it takes nothing, and says which. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from boxloop.inbox import Stamps
from boxloop.nightly_settings import IntakeConfig

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
GIGABYTE = 10**9


def check_amount(stamps: Stamps, seen: Mapping[str, str], config: IntakeConfig) -> None:
    """Check how much is new, before any of it is opened.

    Args:
        stamps: of all files in the inbox.
        seen: name to the stamp's text of the last night.
        config: the limits.

    Raises:
        ValueError: if it is more than a night may take.
    """
    new = {name: stamp.size for name, stamp in stamps.items() if seen.get(name) != stamp.text}
    num_images = sum(
        name.startswith("images/") or name.lower().endswith(IMAGE_SUFFIXES) for name in new
    )
    if num_images > config.max_images:
        raise ValueError(
            f"the inbox has {num_images:,} new images, intake.max_images is {config.max_images:,}: "
            "if they are wanted, raise it for a night; nothing was taken"
        )
    gigabytes = sum(new.values()) / GIGABYTE
    if gigabytes > config.max_gigabytes:
        raise ValueError(
            f"the inbox has {gigabytes:.1f} GB of new files, intake.max_gigabytes is "
            f"{config.max_gigabytes:g}: if they are wanted, raise it for a night; nothing was taken"
        )


def check_shares(num_new: int, num_broken: int, num_unknown: int, config: IntakeConfig) -> None:
    """Check that most of what is new can be used.

    Args:
        num_new: readable images that are new or have changed.
        num_broken: new files that cannot be read, or may not be.
        num_unknown: of the readable ones, those with a class that nobody knows.
        config: the limits.

    Raises:
        ValueError: if too much cannot: a night had better not guess what went wrong.
    """
    total = num_new + num_broken
    for count, what, name in (
        (num_broken, "cannot be read", "max_broken_share"),
        (num_unknown, "are of classes that the champion does not know", "max_unknown_share"),
    ):
        limit = getattr(config, name)
        if count > max(limit * total, config.tolerated):
            raise ValueError(
                f"of {total:,} new files in the inbox {count:,} {what}, more than intake.{name}: "
                f"{limit:g} allows. Nothing was taken; the doctor's page lists them. Mend or "
                f"remove them, or raise the limit for a night"
            )


def check_replaced(what: str, names: Collection[str], total: int, config: IntakeConfig) -> None:
    """Check that most of what people said before stays.

    Args:
        what: of the images would be replaced, `boxes` or `labels`.
        names: of the images.
        total: images of the library that have some.
        config: the limits.

    Raises:
        ValueError: if too much would be replaced.
    """
    if len(names) > max(config.max_replaced_share * total, config.tolerated):
        raise ValueError(
            f"the inbox replaces the {what} of {len(names):,} of the library's {total:,} images "
            f"that have some, more than intake.max_replaced_share: {config.max_replaced_share:g} "
            f"allows, among them {', '.join(sorted(names)[:3])}. Nothing was taken. If they are "
            f"right, raise the limit for a night; else take them out of the inbox"
        )
