from polyscan.networks.backbones import (
    DenseNetEncoder as DenseNetEncoder,
    EfficientNetEncoder as EfficientNetEncoder,
    ResNetEncoder as ResNetEncoder,
    SegResEncoder as SegResEncoder,
    SwinEncoder as SwinEncoder,
    ViTEncoder as ViTEncoder,
)
from polyscan.networks.cached_features import CachedFeatures as CachedFeatures
from polyscan.networks.drifa_net import DRIFANet as DRIFANet
from polyscan.networks.encoders import Encoder as Encoder, UNetEncoder as UNetEncoder
from polyscan.networks.fusion_model import FusionModel as FusionModel
from polyscan.networks.fusion_net import FusionNet as FusionNet
from polyscan.networks.heads import (
    ClassificationHead as ClassificationHead,
    CoxHead as CoxHead,
    DiscreteSurvivalHead as DiscreteSurvivalHead,
    Head as Head,
    MulticlassHead as MulticlassHead,
    MultitaskHead as MultitaskHead,
    OrdinalHead as OrdinalHead,
    RegressionHead as RegressionHead,
    SegmentationHead as SegmentationHead,
)
from polyscan.networks.multi_scale_net import MultiScaleNet as MultiScaleNet, PackedScales as PackedScales
from polyscan.networks.pooled_encoder import PooledEncoder as PooledEncoder
from polyscan.networks.pretrained_encoder import PretrainedEncoder as PretrainedEncoder
from polyscan.networks.ridge_net import RidgeNet as RidgeNet
from polyscan.networks.survival_net import SurvivalNet as SurvivalNet
from polyscan.networks.table_net import TableNet as TableNet
from polyscan.networks.temporal_net import TemporalNet as TemporalNet
from polyscan.networks.vector_encoder import VectorEncoder as VectorEncoder
