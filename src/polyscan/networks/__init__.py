"""Encoders, heads, and the networks that join them."""

from polyscan.networks.backbones import (
    DenseNetEncoder,
    EfficientNetEncoder,
    ResNetEncoder,
    SegResEncoder,
    SwinEncoder,
    ViTEncoder,
)
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.drifa_net import DRIFANet
from polyscan.networks.encoders import Encoder, UNetEncoder
from polyscan.networks.fusion_model import FusionModel
from polyscan.networks.fusion_net import FusionNet
from polyscan.networks.heads import (
    ClassificationHead,
    CoxHead,
    DiscreteSurvivalHead,
    Head,
    MulticlassHead,
    MultitaskHead,
    OrdinalHead,
    RegressionHead,
    SegmentationHead,
)
from polyscan.networks.multi_scale_net import MultiScaleNet, PackedScales
from polyscan.networks.pooled_encoder import PooledEncoder
from polyscan.networks.pretrained_encoder import PretrainedEncoder
from polyscan.networks.survival_net import SurvivalNet
from polyscan.networks.table_net import TableNet
from polyscan.networks.temporal_net import TemporalNet
from polyscan.networks.vector_encoder import VectorEncoder

__all__ = [
    "CachedFeatures",
    "ClassificationHead",
    "CoxHead",
    "DRIFANet",
    "DenseNetEncoder",
    "DiscreteSurvivalHead",
    "EfficientNetEncoder",
    "Encoder",
    "FusionModel",
    "FusionNet",
    "Head",
    "MultiScaleNet",
    "MulticlassHead",
    "MultitaskHead",
    "OrdinalHead",
    "PackedScales",
    "PooledEncoder",
    "PretrainedEncoder",
    "RegressionHead",
    "ResNetEncoder",
    "SegResEncoder",
    "SegmentationHead",
    "SurvivalNet",
    "SwinEncoder",
    "TableNet",
    "TemporalNet",
    "UNetEncoder",
    "VectorEncoder",
    "ViTEncoder",
]
