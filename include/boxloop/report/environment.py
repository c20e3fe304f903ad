"""How the pages are rendered: everything escaped, nothing undefined."""

from __future__ import annotations

from pathlib import Path

import jinja2

from boxloop.report.times import format_duration, percent


def environment() -> jinja2.Environment:
    """Return the templates' environment, with the filters they use."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["duration"] = format_duration
    found.filters["change"] = lambda value: f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
    found.filters["short_change"] = lambda value: f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
    found.filters["count"] = lambda value: f"{value:,}"
    found.filters["share_of"] = percent
    found.filters["percent"] = lambda share: f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
    return found
