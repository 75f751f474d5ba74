"""How modalities are joined: one layer a file, all with one signature.

The layers are found in the package: a subclass of :class:`FusionLayer` in any module but those called ``base`` is one,
and is imported from here by its name (``from polyscan.fusion import Concatenation``).
"""

from __future__ import annotations

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.find import by_name, find_classes

_LAYERS = find_classes(__path__, __name__, FusionLayer)
__all__ = ["FusionLayer", "layers", *_LAYERS]
__getattr__, __dir__ = by_name(__name__, "layer", _LAYERS)


def layers(joins: str | None = None) -> list[type[FusionLayer]]:
    """The fusion layers of this package, in alphabetical order.

    Args:
        joins: ``"features"``, ``"logits"`` (output rules) or ``"time points"`` alone; all where not given.
            Layers by which a table acts on features have a signature of their own:
            :func:`polyscan.fusion.table.layers`.
    """
    return [layer for layer in _LAYERS.values() if joins in (None, layer.joins)]
