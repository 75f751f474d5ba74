from polyscan.learning.auxiliary_loss import (
    AuxiliaryLossHandler as AuxiliaryLossHandler,
    OneHotTasks as OneHotTasks,
    WithAuxiliaryLosses as WithAuxiliaryLosses,
    auxiliary_losses as auxiliary_losses,
    fusion_calls as fusion_calls,
)
from polyscan.learning.averaging import AveragedWeights as AveragedWeights, AverageHandler as AverageHandler
from polyscan.learning.checkpoint import BestWeights as BestWeights, TrainingCheckpoint as TrainingCheckpoint
from polyscan.learning.distillation import WithDistillation as WithDistillation
from polyscan.learning.gradients import ClipGradients as ClipGradients
from polyscan.learning.history import History as History
from polyscan.learning.losses import (
    MulticlassLoss as MulticlassLoss,
    MultitaskLoss as MultitaskLoss,
    RegionLoss as RegionLoss,
    classification_loss as classification_loss,
    cox_loss as cox_loss,
    discrete_survival_loss as discrete_survival_loss,
    gaussian_loss as gaussian_loss,
    multilabel_loss as multilabel_loss,
    ordinal_loss as ordinal_loss,
    survival_curve as survival_curve,
)
from polyscan.learning.optimizer import parameter_groups as parameter_groups
from polyscan.learning.precision import PrecisionInferer as PrecisionInferer
from polyscan.learning.ridge import FitRidge as FitRidge
from polyscan.learning.seeding import SeedEachEpoch as SeedEachEpoch
from polyscan.learning.survival import FitSurvival as FitSurvival
from polyscan.learning.utilisation import Utilisation as Utilisation
from polyscan.learning.validation import Validate as Validate
