from polyscan.evaluation.metrics import ConcordanceIndex as ConcordanceIndex, TaskAUROC as TaskAUROC
from polyscan.evaluation.regions import (
    dice as dice,
    region_scores as region_scores,
    region_volumes as region_volumes,
)
from polyscan.evaluation.statistics import (
    Interval as Interval,
    auroc as auroc,
    bootstrap as bootstrap,
    bootstrap_scores as bootstrap_scores,
    concordance_index as concordance_index,
    corrected_difference as corrected_difference,
    over_folds as over_folds,
    percentile_interval as percentile_interval,
)
from polyscan.evaluation.surfaces import surface_scores as surface_scores
