"""What a bundle tells people: README.md with an example, and a model card with its figures.

Source of the card's headings: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

Bundle = Mapping[str, Any]


def build_readme(bundle: Bundle) -> str:
    """Return a bundle's README.md: how to use it with and without TensorFlow.

    Args:
        bundle: what `boxloop.bundle.read_bundle` returns.
    """
    return str(_template("bundle_readme.md.j2").render(bundle=bundle))


def build_card(bundle: Bundle, evaluation: Mapping[str, Any]) -> str:
    """Return a bundle's model card.

    Args:
        bundle: what `boxloop.bundle.read_bundle` returns.
        evaluation: the round's evaluation.json.
    """
    return str(_template("model_card.md.j2").render(bundle=bundle, evaluation=evaluation))


def _template(name: str) -> Any:
    loader = PackageLoader("boxloop", "templates")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = _figure
    environment.filters["plain"] = _plain
    return environment.get_template(name)


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"


def _plain(text: str) -> str:
    """Return somebody's text for Markdown: one line, no cell, code, tag or link of its own."""
    return re.sub(r"([\\`|<\[*])", r"\\\1", " ".join(text.split()))
