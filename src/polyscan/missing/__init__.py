"""What stands in for modalities that are missing: one strategy a file, each around any fusion layer.

A strategy is a fusion layer itself, so it goes wherever a layer goes, at any level, in images and vectors, and trains
by ``auxiliary_loss``. Strategies are found in the package, as layers are in :mod:`polyscan.fusion`.
"""

from __future__ import annotations

from polyscan.fusion.find import by_name, find_classes
from polyscan.missing.base import Imputation, MissingStrategy

_STRATEGIES = find_classes(__path__, __name__, MissingStrategy)
__all__ = ["Imputation", "MissingStrategy", "strategies", *_STRATEGIES]
__getattr__, __dir__ = by_name(__name__, "strategy", _STRATEGIES)


def strategies() -> list[type[MissingStrategy]]:
    """The strategies of this package, in alphabetical order."""
    return list(_STRATEGIES.values())
