"""What a network learns from studies beside their labels: one objective a file, for studies without a label too.

An objective reads what the encoders made of each modality, and answers from subsets of them, so it goes with any
network, any fusion layer and any strategy of :mod:`polyscan.missing`. Objectives are found in the package, as layers
are in :mod:`polyscan.fusion`.
"""

from __future__ import annotations

from polyscan.fusion.find import by_name, find_classes
from polyscan.objectives.base import FeatureObjective, Objective

_OBJECTIVES = find_classes(__path__, __name__, Objective)
__all__ = ["FeatureObjective", "Objective", "objectives", *_OBJECTIVES]
__getattr__, __dir__ = by_name(__name__, "objective", _OBJECTIVES)


def objectives() -> list[type[Objective]]:
    """The objectives of this package, in alphabetical order."""
    return list(_OBJECTIVES.values())
