"""How modalities are joined: one layer a file, all with one signature."""

from polyscan.fusion.attention_weighted import AttentionWeighted
from polyscan.fusion.base import FusionLayer
from polyscan.fusion.concatenation import Concatenation
from polyscan.fusion.gated_sum import GatedSum
from polyscan.fusion.low_rank_bilinear import LowRankBilinear
from polyscan.fusion.maximum import Maximum
from polyscan.fusion.mean import Mean
from polyscan.fusion.mixture_of_experts import MixtureOfExperts
from polyscan.fusion.moments import Moments
from polyscan.fusion.product import Product
from polyscan.fusion.sum import Sum

__all__ = [
    "AttentionWeighted",
    "Concatenation",
    "FusionLayer",
    "GatedSum",
    "LowRankBilinear",
    "Maximum",
    "Mean",
    "MixtureOfExperts",
    "Moments",
    "Product",
    "Sum",
    "layers",
]


def layers() -> list[type[FusionLayer]]:
    """Every fusion layer of this package, in alphabetical order."""
    return [value for name, value in sorted(globals().items()) if name in __all__ and _is_layer(value)]


def _is_layer(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, FusionLayer) and value is not FusionLayer
