"""What answered and how, from the records of predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from polyscan.methods.text import Text, counted, enumerated, size
from polyscan.study import ModelRecord, PredictionRecord, Study
from polyscan.study.manifest import Manifest

SECTION, EVALUATION = "Network", "Evaluation"


def tell_predictions(text: Text, manifest: Manifest) -> dict[str, str]:
    """Say which network answered for which scans, how sure it says it is, and by what it was judged.

    Returns:
        Package to its version.
    """
    answered = [study for study in manifest.studies if study.prediction is not None]
    versions: dict[str, str] = {}
    for model, studies in _by_model(answered):
        text.say(SECTION, *_network(text, model, len(studies)))
        versions |= model.versions
    predictions = [study.prediction for study in answered if study.prediction is not None]
    if unknown := sum(each.model is None for each in predictions):
        text.say(
            SECTION,
            f"{counted(unknown, 'study')} {'was' if unknown == 1 else 'were'} read by a network that no record names, "
            "as where MONAI's own command runs a bundle.",
        )
    read = _read(predictions, manifest.absent)
    text.say(SECTION, *read, manifest.prepared_otherwise, *_certainty(text, predictions))
    text.say(EVALUATION, *_evaluation(text, predictions, manifest))
    return versions


def _by_model(studies: Sequence[Study]) -> Iterator[tuple[ModelRecord, list[Study]]]:
    groups: dict[str, tuple[ModelRecord, list[Study]]] = {}
    for study in studies:
        if study.model is not None:
            groups.setdefault(json.dumps(asdict(study.model), sort_keys=True), (study.model, []))[1].append(study)
    yield from groups.values()


def _network(text: Text, model: ModelRecord, count: int) -> list[str]:
    told = [
        f"{counted(count, 'study')} {'was' if count == 1 else 'were'} read by the bundle {model.bundle}"
        f"{f' (version {model.bundle_version})' if model.bundle_version else ''}"
        f"{', ' + _cited(text, [model.network, *model.parts], ' with ') if model.network else ''}."
    ]
    if model.fusion:
        told.append(
            f"It fuses {enumerated(model.modalities)} {_where(model.fuse_at)}by "
            f"{_cited(text, model.fusion.split(', '), ' and ')}."
        )
    if model.spacing:
        told.append(f"Images came to {size(model.spacing, 'mm')}.")
    if model.roi_size:
        window = "in windows of" if model.inferer == "WindowInferer" else "on"
        told.append(f"It reads {window} {size(model.roi_size, 'voxels')}.")
    if model.mirrored:
        told.append(f"Answers were averaged over mirror images along {counted(model.mirrored, 'axis', 'axes')}.")
    if len(model.weights) > 1:
        from polyscan.inference import EnsembleAverage

        told.append(f"{len(model.weights)} networks were averaged{text.cite(EnsembleAverage)}.")
    hashes = enumerated(f"`{each}`" for each in model.weights) if model.weights else ""
    return [*told, f"SHA-256 of the weights: {hashes}." if hashes else ""]


def _where(fuse_at: str) -> str:
    if not fuse_at:
        return ""
    places = {"input": "at the input ", "output": "at the output "}
    levels = fuse_at.split(", ")
    kind = "a single level" if len(levels) == 1 else "levels"
    return places.get(fuse_at, f"at {kind} of the encoder ({fuse_at}) ")


def _cited(text: Text, names: Sequence[str], first: str) -> str:
    """Classes with their papers: ``FusionNet with UNetEncoder [1] and SegmentationHead [2]``."""
    known = classes()
    told = [f"{name}{text.cite(known[name]) if name in known else ''}" for name in names]
    return told[0] + (first + enumerated(told[1:]) if told[1:] else "")


def classes() -> dict[str, Any]:
    """Networks, their parts and fusion layers of polyscan by their names."""
    from polyscan import fusion, missing, networks
    from polyscan.fusion import table

    found = {name: getattr(networks, name) for name in dir(networks)}
    return found | {
        each.__name__: each for each in [*fusion.layers(), *table.layers(), *missing.strategies(), table.TableTokens]
    }


def _read(predictions: Sequence[PredictionRecord], absent: Sequence[str]) -> list[str]:
    sets = Counter(enumerated(each.present) for each in predictions if each.present)
    told = enumerated(f"{names} in {counted(n, 'study')}" for names, n in sets.most_common()) if sets else ""
    return [
        f"It read {told}." if told else "",
        f"{enumerated(absent)} {'was' if len(absent) == 1 else 'were'} treated as not acquired." if absent else "",
    ]


def _certainty(text: Text, predictions: Sequence[PredictionRecord]) -> Iterator[str]:
    """What was said beside an answer, of which there is a trace in one of them."""
    from polyscan.attribution.by_place import METHODS
    from polyscan.bundle.staging import measure_lesions
    from polyscan.inference import (
        FeatureDistance,
        conflict,
        monte_carlo,
        sampled_shapley_values,
        shapley_interactions,
        shapley_values,
        soft_dice_confidence,
        split_entropy,
    )
    from polyscan.inference.calibration import CALIBRATIONS
    from polyscan.inference.conformal import ConformalSets
    from polyscan.inference.shapley import EXACT_PLAYERS
    from polyscan.inference.volume_intervals import VolumeIntervals

    answers = [task for each in predictions for task in each.answers.values()]
    models = [each.model for each in predictions if each.model is not None and each.model.calibrated]
    if kinds := dict.fromkeys(CALIBRATIONS[model.calibration_method] for model in models):
        yield f"Probabilities were calibrated by {enumerated(kind.NAME + text.cite(kind) for kind in kinds)}."
    if any(each.confidence for each in predictions):
        yield f"How sure a mask is was told by its soft Dice{text.cite(soft_dice_confidence)}."
    if any(each.volume_intervals for each in predictions):
        yield f"Intervals of volumes are conformal, by what was read{text.cite(VolumeIntervals)}."
    if any(each.prediction_set is not None for each in answers):
        yield f"Conformal prediction gave the classes that are not ruled out{text.cite(ConformalSets)}."
    if any(each.epistemic is not None for each in answers):
        samples = text.cite(monte_carlo, split_entropy)
        yield f"Uncertainty is the entropy over dropout samples, aleatoric and epistemic part told apart{samples}."
    if any(each.contributions for each in predictions):
        told = text.cite(shapley_values)
        yield f"Contributions of modalities to how sure a mask is are Shapley values of that soft Dice{told}."
    if any(each.contributions for each in answers):
        yield f"Contributions of modalities are Shapley values{text.cite(shapley_values)}."
    if any(each.interactions for each in answers):
        yield f"So are interactions of pairs{text.cite(shapley_interactions)}."
    if any(len(each.contributions) > EXACT_PLAYERS for each in answers):
        source = text.cite(sampled_shapley_values)
        yield f"Of more than {EXACT_PLAYERS} modalities contributions are means over sampled orders{source}."
    if any(each.conflict is not None for each in answers):
        yield f"Conflict of modalities is the divergence of what each says alone{text.cite(conflict)}."
    if any(each.typicality for each in predictions):
        source = text.cite(FeatureDistance)
        yield f"How far a scan's features lie from those of the calibration tells whether it is like them{source}."
    if ignored := sum(bool(each.ignored) for each in predictions):
        yield f"Scans that are unlike those were not read, in {counted(ignored, 'study')}."
    if methods := dict.fromkeys(each.method for prediction in predictions for each in prediction.attributions):
        named = enumerated(f"{name}{text.cite(METHODS[name.partition(':')[0]])}" for name in methods)
        yield f"Maps of where in the scans an answer comes from were made by {named}."
    if any("metabolic_tumour_volume_ml" in each.measures for each in answers):
        yield f"Lesions were measured by volume, spread and uptake{text.cite(measure_lesions)}."


def _evaluation(text: Text, predictions: Sequence[PredictionRecord], manifest: Manifest) -> list[str]:
    from polyscan.evaluation import dice, surface_scores

    scored = [each for each in predictions if each.scores]
    told = []
    if scored:
        regions = enumerated(dict.fromkeys(name for each in scored for name in each.scores))
        told.append(
            f"Segmentations ({regions}) were compared with the known truth of {counted(len(scored), 'study')} by the "
            f"Dice coefficient{text.cite(dice)}."
        )
        if any(score.surface_dice is not None for each in scored for score in each.scores.values()):
            told.append(
                "Surfaces were compared by the normalised surface Dice within 2 mm and the 95th percentile of the "
                f"Hausdorff distance{text.cite(surface_scores)}."
            )
        if any(score.dice is None for each in scored for score in each.scores.values()):
            told.append("Studies in which a region does not exist were counted apart.")
    tasks = Counter(task for each in predictions for task, said in each.answers.items() if said.is_known)
    if tasks:
        known = enumerated(f"{task} in {counted(n, 'study')}" for task, n in tasks.items())
        told.append(f"The true answer was known of {known}.")
    if told:
        told.append(manifest.judged_on_training)
    if manifest.failed:
        told.append(f"{counted(len(manifest.failed), 'study')} had no answer.")
    return told
