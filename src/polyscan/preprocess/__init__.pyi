from polyscan.preprocess.intensity_steps import (
    BiasFieldd as BiasFieldd,
    BrainMaskd as BrainMaskd,
    ForegroundMaskd as ForegroundMaskd,
    HistogramStandardized as HistogramStandardized,
    ZCAWhiteningd as ZCAWhiteningd,
    ZScored as ZScored,
)
from polyscan.preprocess.scales import AntiAliasd as AntiAliasd, PackScalesd as PackScalesd
from polyscan.preprocess.steps import LoadScansd as LoadScansd, RegisterRigidd as RegisterRigidd, Resampled as Resampled
