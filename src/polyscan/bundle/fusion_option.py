"""A fusion layer named on the command line, as an entry of a bundle's config."""

from __future__ import annotations

from typing import Any

from polyscan.bundle.class_option import find_class
from polyscan.fusion import FusionLayer, layers


def fusion_option(text: str) -> dict[str, Any]:
    """Read ``NAME``, a layer of polyscan.fusion, or ``DOTTED.PATH``, each with options in brackets or without.

    Args:
        text: such as ``GatedSum`` or ``polyscan.fusion.CrossAttention(query=0)``; values are as in JSON or Python.

    Returns:
        ``{"_target_": DOTTED.PATH, "_mode_": "callable", **options}``.

    Raises:
        PolyscanError: it is written in another way, names no fusion layer, or an option that the layer does not have.

    Example:
        >>> fusion_option("CrossAttention(query=0)")
        {'_target_': 'polyscan.fusion.CrossAttention', '_mode_': 'callable', 'query': 0}
    """
    given = {"modalities", "channels", "spatial_dims"}
    _, path, options = find_class("--fusion", text, "fusion layer", FusionLayer, "polyscan.fusion", layers(), given)
    return {"_target_": path, "_mode_": "callable", **options}
