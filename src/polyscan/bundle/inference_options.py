"""How a bundle is to answer: what ``infer``, ``batch`` and ``listen`` may all be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InferenceOptions:
    """What is asked of a bundle beside its plain answer, the same whichever way studies come.

    Attributes:
        mirror: average over mirror images.
        probabilities: keep those of the regions beside each mask.
        contributions: of masks, tell which modality drove them; see :class:`polyscan.transforms.ExplainRegionsd`.
        uncertainty: map of each mask how sure it is, and why; see :class:`polyscan.transforms.SaveUncertaintyd`.
        attribution: methods that map where in each scan an answer comes from; see
            :func:`polyscan.attribution.by_place.find_method`.
        ignore_atypical: read a scan that is unlike those of the calibration as absent; see
            :class:`polyscan.bundle.StudyPredictor`.
        keep_features: keep what encoders made of each scan, so that one that comes late is encoded alone; see
            :class:`polyscan.inference.KeptFeatures`.
    """

    mirror: bool = False
    probabilities: bool = False
    contributions: bool = False
    uncertainty: bool = False
    attribution: tuple[str, ...] = ()
    ignore_atypical: bool = False
    keep_features: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """The entries of a bundle's ``inference.json`` that this changes; where features are kept a folder says."""
        entries = {
            "mirror": self.mirror,
            "save_probabilities": self.probabilities,
            "contributions": self.contributions,
            "uncertainty": self.uncertainty,
            "attribution": list(self.attribution),
            "ignore_atypical": self.ignore_atypical,
        }
        return {name: value for name, value in entries.items() if value}


DEFAULTS = InferenceOptions()
"""Nothing beside the plain answer."""
