"""Losses: of the heads, and those that the papers of fusion layers train with."""

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

__all__ = [
    "AuxiliaryLossHandler",
    "MulticlassLoss",
    "MultitaskLoss",
    "OneHotTasks",
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
