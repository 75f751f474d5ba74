"""What training needs beyond a supervised loss."""

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
    "MulticlassLoss",
    "MultitaskLoss",
    "RandModalityDropoutd",
    "RandScannerd",
    "classification_loss",
    "cox_loss",
    "discrete_survival_loss",
    "gaussian_loss",
    "multilabel_loss",
    "ordinal_loss",
    "survival_curve",
]
