"""What training needs beyond a supervised loss."""

from polyscan.learning.auxiliary_loss import (
    AuxiliaryLossHandler,
    OneHotTasks,
    WithAuxiliaryLosses,
    auxiliary_losses,
    fusion_calls,
)
from polyscan.learning.losses import (
    MulticlassLoss,
    MultitaskLoss,
    classification_loss,
    cox_loss,
    discrete_survival_loss,
    gaussian_loss,
    multilabel_loss,
    ordinal_loss,
    survival_curve,
)
from polyscan.learning.modality_dropout import RandModalityDropoutd
from polyscan.learning.scanner_variation import RandScannerd

__all__ = [
    "AuxiliaryLossHandler",
    "MulticlassLoss",
    "MultitaskLoss",
    "OneHotTasks",
    "RandModalityDropoutd",
    "RandScannerd",
    "WithAuxiliaryLosses",
    "auxiliary_losses",
    "classification_loss",
    "cox_loss",
    "discrete_survival_loss",
    "fusion_calls",
    "gaussian_loss",
    "multilabel_loss",
    "ordinal_loss",
    "survival_curve",
]
