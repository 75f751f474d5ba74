"""What stands in for modalities that are missing: one strategy a file, each around any fusion layer.

A strategy is a fusion layer itself, so it goes wherever a layer goes, at any level, in images and vectors, and trains
by ``auxiliary_loss``. Strategies are found in the package, as layers are in :mod:`polyscan.fusion`.
"""

from __future__ import annotations

from polyscan.fusion.find import find_layers
from polyscan.missing.base import Imputation, MissingStrategy

_STRATEGIES = find_layers(__path__, __name__, MissingStrategy)
__all__ = ["Imputation", "MissingStrategy", "strategies", *_STRATEGIES]


def __getattr__(name: str) -> type[MissingStrategy]:
    """The strategy of this name."""
    if name not in _STRATEGIES:
        raise AttributeError(f"polyscan.missing has no strategy {name}; it has {', '.join(_STRATEGIES)}.")
    return _STRATEGIES[name]


def __dir__() -> list[str]:
    """What can be imported from here."""
    return sorted({*globals(), *_STRATEGIES})


def strategies() -> list[type[MissingStrategy]]:
    """The strategies of this package, in alphabetical order."""
    return list(_STRATEGIES.values())
