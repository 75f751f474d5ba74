"""Training: losses of the heads and of fusion layers, and the handlers of a recipe."""

from polyscan.learning.auxiliary_loss import (
    AuxiliaryLossHandler,
    OneHotTasks,
    WithAuxiliaryLosses,
    auxiliary_losses,
    fusion_calls,
)
from polyscan.learning.averaging import AveragedWeights, AverageHandler
from polyscan.learning.checkpoint import BestWeights, TrainingCheckpoint
from polyscan.learning.distillation import WithDistillation
from polyscan.learning.gradients import ClipGradients
from polyscan.learning.history import History
from polyscan.learning.losses import (
    MulticlassLoss,
    MultitaskLoss,
    RegionLoss,
    classification_loss,
    cox_loss,
    discrete_survival_loss,
    gaussian_loss,
    multilabel_loss,
    ordinal_loss,
    survival_curve,
)
from polyscan.learning.optimizer import parameter_groups
from polyscan.learning.precision import PrecisionInferer
from polyscan.learning.seeding import SeedEachEpoch
from polyscan.learning.survival import FitSurvival
from polyscan.learning.utilisation import Utilisation
from polyscan.learning.validation import Validate

__all__ = [
    "AuxiliaryLossHandler",
    "AverageHandler",
    "AveragedWeights",
    "BestWeights",
    "ClipGradients",
    "FitSurvival",
    "History",
    "MulticlassLoss",
    "MultitaskLoss",
    "OneHotTasks",
    "PrecisionInferer",
    "RegionLoss",
    "SeedEachEpoch",
    "TrainingCheckpoint",
    "Utilisation",
    "Validate",
    "WithAuxiliaryLosses",
    "WithDistillation",
    "auxiliary_losses",
    "classification_loss",
    "cox_loss",
    "discrete_survival_loss",
    "fusion_calls",
    "gaussian_loss",
    "multilabel_loss",
    "ordinal_loss",
    "parameter_groups",
    "survival_curve",
]
