"""Docstrings name other objects by Sphinx' roles; the site shows their names."""

from __future__ import annotations

import re

import griffe


class Roles(griffe.Extension):
    """``:class:`polyscan.Study``` becomes ``Study`` in a docstring."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of whatever was found."""
        if obj.docstring:
            obj.docstring.value = re.sub(r":(?:class|func|meth|mod|attr):`~?([^`]*)`", r"`\1`", obj.docstring.value)
