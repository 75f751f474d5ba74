"""How modalities are joined: one layer a file, all with one signature."""

from polyscan.fusion.attention_weighted import AttentionWeighted
from polyscan.fusion.base import FusionLayer
from polyscan.fusion.canonical_correlation import CanonicalCorrelation
from polyscan.fusion.co_attention import CoAttention
from polyscan.fusion.concatenation import Concatenation
from polyscan.fusion.cross_attention import CrossAttention
from polyscan.fusion.drifa import DRIFA
from polyscan.fusion.efficient_channel_attention import EfficientChannelAttention
from polyscan.fusion.gated_sum import GatedSum
from polyscan.fusion.global_local_alignment import GlobalLocalAlignment
from polyscan.fusion.low_rank_bilinear import LowRankBilinear
from polyscan.fusion.masked_transformer import MaskedTransformer
from polyscan.fusion.maximum import Maximum
from polyscan.fusion.mean import Mean
from polyscan.fusion.mixture_of_experts import MixtureOfExperts
from polyscan.fusion.moments import Moments
from polyscan.fusion.mutual_attention import MutualAttention
from polyscan.fusion.output import (
    BayesianProduct,
    DempsterShafer,
    Evidential,
    LogarithmicPool,
    MajorityVote,
    MaximumConfidence,
    MeanProbability,
    PrecisionWeighted,
)
from polyscan.fusion.product import Product
from polyscan.fusion.product_of_experts import ProductOfExperts
from polyscan.fusion.region_aware import RegionAware
from polyscan.fusion.self_attention import SelfAttention
from polyscan.fusion.shared_specific import SharedSpecific
from polyscan.fusion.spatial_attention import SpatialAttention
from polyscan.fusion.squeeze_excitation import SqueezeExcitation
from polyscan.fusion.sum import Sum
from polyscan.fusion.temporal import TemporalAttention, TemporalConcatenation, TemporalDifference
from polyscan.fusion.transformer_bottleneck import TransformerBottleneck

_LAYERS = [
    AttentionWeighted,
    BayesianProduct,
    CanonicalCorrelation,
    CoAttention,
    Concatenation,
    CrossAttention,
    DRIFA,
    DempsterShafer,
    EfficientChannelAttention,
    Evidential,
    GatedSum,
    GlobalLocalAlignment,
    LogarithmicPool,
    LowRankBilinear,
    MajorityVote,
    MaskedTransformer,
    Maximum,
    MaximumConfidence,
    Mean,
    MeanProbability,
    MixtureOfExperts,
    Moments,
    MutualAttention,
    PrecisionWeighted,
    Product,
    ProductOfExperts,
    RegionAware,
    SelfAttention,
    SharedSpecific,
    SpatialAttention,
    SqueezeExcitation,
    Sum,
    TemporalAttention,
    TemporalConcatenation,
    TemporalDifference,
    TransformerBottleneck,
]

__all__ = ["FusionLayer", "layers", *(layer.__name__ for layer in _LAYERS)]


def layers() -> list[type[FusionLayer]]:
    """Every fusion layer of this package, in alphabetical order."""
    return list(_LAYERS)
