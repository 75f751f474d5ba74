"""Calibrate a trained classifier on studies that it was not trained on, with modalities left out too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscan.bundle.carried import check_not_learnt
from polyscan.bundle.encoder import StudyEncoder
from polyscan.bundle.weights import weights_fingerprint, weights_of
from polyscan.errors import PolyscanError
from polyscan.files.names import CALIBRATION
from polyscan.inference import FeatureDistance
from polyscan.inference.calibration import CALIBRATIONS, Method
from polyscan.inference.feature_distance import AT_LEAST
from polyscan.inference.task_calibration import fit_calibration
from polyscan.progress import Progress, silent
from polyscan.study.manifest import read_manifest
from polyscan.study.outputs import check_writable_file

_EVERY_SUBSET_UP_TO = 4


def calibrate(
    bundle: str | Path,
    manifest: str | Path,
    *,
    weights: str | Path | None = None,
    coverage: float = 0.9,
    method: Method = "temperature",
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write ``calibration.json`` beside the weights; ``infer`` uses it from then on.

    Each labelled study of the section ``validation`` is answered with all it has and with modalities left out: each
    subset of up to four, else one left out at a time. Half of the subjects fit the probabilities, half the sets. What
    encoders make of each modality is kept as means and main axes, so that ``infer`` tells a scan that is unlike them.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: a prepared manifest; the weights were not trained on its section ``validation``.
        weights: a file of weights; the bundle's own where not given.
        coverage: how often a prediction set is to hold the true class.
        method: ``temperature``, ``vector``, or ``isotonic``, which wants the most studies.
        overrides: config entries to change, those that ``infer`` is given.
        progress: told after every study.

    Returns:
        The path of the file.

    Raises:
        PolyscanError: the coverage or the method is none, the bundle is no classifier, the weights learnt from a study,
            too few studies are labelled, or something else has the file's name.
    """
    if not 0 < coverage < 1:
        raise PolyscanError(f"The coverage is {coverage:g}; expected a part of all studies below 1, such as 0.9.")
    if method not in CALIBRATIONS:
        raise PolyscanError(f"The method of calibration is {method}; expected one of {', '.join(CALIBRATIONS)}.")
    (file,) = weights_of(bundle, weights)
    check_writable_file(file.with_name(CALIBRATION), "calibration")
    encoder = StudyEncoder(bundle, file, overrides)
    if "tasks" not in encoder.parser:
        raise PolyscanError(f"{bundle} predicts no classes to calibrate; of a segmentation give --risk.")
    network, tasks = encoder.network, encoder.parser["tasks"]
    studies = [study for study in read_manifest(manifest).validation if study.label.tasks]
    check_not_learnt(studies, encoder.learnt)
    rows: list[tuple[Tensor, Tensor, Tensor, str]] = []
    seen: dict[str, list[tuple[str, np.ndarray]]] = {name: [] for name in network.modalities}
    for count, study in enumerate(studies, start=1):
        with torch.inference_mode():
            cached, label = encoder.encode(study, list(tasks))
            described = cached.described()[0].float().cpu().numpy()
            for m in cached.available[0].nonzero().flatten().tolist():
                seen[network.modalities[m]].append((study.subject, described[m]))
            for pattern in _patterns(cached.available):
                rows.append((cached.logits(pattern)[0].cpu(), label, pattern[0].cpu(), study.subject))
        progress(count, len(studies), study.key)
    if not rows:
        raise PolyscanError(f"{manifest} has no labelled study in the section 'validation' to calibrate on.")
    logits, targets, available = (np.stack([np.asarray(row[column]) for row in rows]) for column in range(3))
    fitted = fit_calibration(
        tasks,
        network.modalities,
        logits,
        targets,
        available,
        [row[3] for row in rows],
        coverage=coverage,
        weights=weights_fingerprint(file),
        method=method,
    )
    replace(fitted, distances=_distances(seen)).save(file.with_name(CALIBRATION))
    return file.with_name(CALIBRATION)


def _distances(seen: Mapping[str, Sequence[tuple[str, np.ndarray]]]) -> dict[str, FeatureDistance]:
    """Modality to the distance from its features, (subject, features) of each study; of those that enough have."""
    return {
        name: FeatureDistance.fit([features for _, features in each], [subject for subject, _ in each])
        for name, each in seen.items()
        if len({subject for subject, _ in each}) >= AT_LEAST
    }


def _patterns(available: Tensor) -> Iterator[Tensor]:
    """What is there (1, modality), and fewer of it."""
    present = available[0].nonzero().flatten().tolist()
    if len(present) <= _EVERY_SUBSET_UP_TO:
        subsets = [[m for k, m in enumerate(present) if code >> k & 1] for code in range(1, 2 ** len(present))]
    else:
        subsets = [present, *([m for m in present if m != absent] for absent in present)]
    for subset in subsets:
        chosen = torch.zeros_like(available)
        chosen[0, subset] = True
        yield chosen
