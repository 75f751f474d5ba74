"""How ways to fuse were compared, from the folder of a comparison."""

from __future__ import annotations

from pathlib import Path

from polyscan.compare.protocol import CONCATENATION, LOGISTIC, Strategy
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.tables import rows_in
from polyscan.methods.network import classes
from polyscan.methods.text import Text, counted, enumerated

SECTION = "Comparison"


def tell_comparison(text: Text, folder: Path) -> None:
    """Say what was compared, how, and by which statistics.

    Raises:
        PolyscanError: the comparison has not ended.
    """
    from polyscan.evaluation.calibration import (
        area_under_risk_coverage,
        calibrated_error_quantile,
        classwise_calibration_error,
        expected_calibration_error,
    )
    from polyscan.evaluation.information import partial_information, predicted_information
    from polyscan.evaluation.statistics import auroc, bootstrap, corrected_difference, holm, probability_of_false_claim

    if not (folder / "compare.csv").is_file():
        raise PolyscanError(f"{folder} has no compare.csv yet; let polyscan compare end first.")
    protocol = read_json(folder / "protocol.json")
    ran = rows_in(folder / "compare.csv")
    names = [row["strategy"] for row in ran]
    strategies = {name: Strategy(**given) for name, given in protocol["strategies"].items() if name in names}
    others = [name for name in names if name not in strategies]
    cited = {LOGISTIC: "sklearn", CONCATENATION: classes()["Concatenation"]}
    compared = [f"{name} ({_strategy(text, strategy)})" for name, strategy in strategies.items()]
    baselines = [f"{name}{text.cite(cited[name]) if name in cited else ''}" for name in others]
    images = (
        ", with each image moved against the others and with all as by another scanner"
        if ran[0].get("moved_2mm")
        else ""
    )
    text.say(
        SECTION,
        f"By a protocol that was fixed before (SHA-256 `{protocol['sha256']}`), {enumerated(compared)} were compared "
        f"with {enumerated(baselines)}.",
        f"Each was trained and tested on the same {protocol['folds']} folds of {_cohort(protocol['cohort'])}, patients "
        f"kept whole, with {counted(protocol['seeds'], 'seed')}; networks had about {protocol['parameters']} "
        f"parameters and {protocol['epochs']} epochs, batches of {protocol['batch_size']}, a learning rate of "
        f"{protocol['learning_rate']:g} and a weight decay of {protocol['weight_decay']:g}.",
        f"The measure is the area under the ROC curve{text.cite(auroc)}, with intervals over patients drawn again"
        f"{text.cite(bootstrap)}; also without each modality, with each alone and with each spoiled by noise{images}.",
        f"Differences from {CONCATENATION} were tested by the corrected resampled t test"
        f"{text.cite(corrected_difference)}, p values adjusted after Holm{text.cite(holm)}; a strategy is called "
        f"better or worse where p and the probability of a false claim{text.cite(probability_of_false_claim)} are at "
        f"most {protocol['level']:g}.",
        f"Calibration was measured by the expected calibration error{text.cite(expected_calibration_error)}, beside "
        f"what calibrated probabilities have by chance{text.cite(calibrated_error_quantile)}, class by class"
        f"{text.cite(classwise_calibration_error)}; how well probabilities tell which answers are wrong, by the area "
        f"under the risk-coverage curve{text.cite(area_under_risk_coverage)}.",
        f"What each modality tells of the class is at least its entropy less the log loss of models that read it"
        f"{text.cite(predicted_information)}, which bounds what is redundant, unique and synergistic with all others"
        f"{text.cite(partial_information)}."
        if (folder / "information.csv").is_file() and rows_in(folder / "information.csv")
        else "",
    )


def _strategy(text: Text, strategy: Strategy) -> str:
    name = strategy.fusion.partition("(")[0].rpartition(".")[2]
    layer, way = classes().get(name), classes().get(strategy.missing)
    place = strategy.fuse_at if isinstance(strategy.fuse_at, str) else "level " + enumerated(map(str, strategy.fuse_at))
    for_missing = f"{strategy.missing}{text.cite(way) if way else ''}"
    told = f"{name}{text.cite(layer) if layer else ''} at {place}, missing modalities: {for_missing}"
    return told + ", read by convolutions" * (strategy.encoder == "convolutional")


def _cohort(cohort: dict[str, object]) -> str:
    if "task" in cohort:
        return f"the made cohort {cohort['task']} of {cohort['subjects']} subjects"
    return f"a cohort with the target {cohort['target']}"
