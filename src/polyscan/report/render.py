"""Pages that open from a disk: one head and one style for all of them."""

from __future__ import annotations

import base64
from typing import Any

from polyscan import __version__


def render_page(package: str, template: str, **values: Any) -> str:
    """A page of a template that extends ``base.html``.

    Args:
        package: where the template lies, such as ``polyscan.compare``.
        template: its name.
        values: what it is filled with; ``version`` is polyscan's.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader

    loader = ChoiceLoader([PackageLoader(package, "."), PackageLoader("polyscan.report", ".")])
    return Environment(loader=loader, autoescape=True).get_template(template).render(version=__version__, **values)


def data_uri(picture: bytes, kind: str) -> str:
    """A picture inside a page, of a ``kind`` such as ``png``."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
