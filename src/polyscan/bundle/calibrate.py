"""Calibrate a trained network on studies that it was not trained on, with modalities left out too."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscan.bundle.carried import check_not_learnt
from polyscan.bundle.config import bundle_folder, quiet, read_config
from polyscan.bundle.encoder import StudyEncoder
from polyscan.bundle.tried import TriedSegmentation
from polyscan.bundle.weights import weights_fingerprint, weights_of
from polyscan.errors import PolyscanError
from polyscan.files.names import CALIBRATION
from polyscan.inference import KeptFeatures, TaskCalibration
from polyscan.inference.calibration import CALIBRATIONS
from polyscan.inference.conformal import pattern_of, tried_subsets
from polyscan.inference.feature_distance import distances_of
from polyscan.inference.task_calibration import fit_calibration
from polyscan.inference.volume_intervals import SETTINGS, VolumeIntervals, volume_bounds
from polyscan.progress import Progress, each_told, silent
from polyscan.study.manifest import read_manifest
from polyscan.study.outputs import check_writable_file
from polyscan.study.prediction import CalibrationMethod


def calibrate(
    bundle: str | Path,
    manifest: str | Path,
    *,
    weights: str | Path | None = None,
    coverage: float = 0.9,
    method: CalibrationMethod | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write ``calibration.json`` beside the weights; ``infer`` uses it from then on.

    Each study of the section ``validation`` whose truth is known is answered with all it has and with modalities left
    out: each subset of up to four, else one left out at a time. Of classes half of the subjects fit the probabilities,
    half the sets; of a segmentation all fit intervals of the volumes. What encoders make of each modality is kept as
    means and main axes, so that ``infer`` tells a scan that is unlike them.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: a prepared manifest; the weights were not trained on its section ``validation``.
        weights: a file of weights; the bundle's own where not given.
        coverage: how often a prediction set is to hold the true class, or an interval the true volume.
        method: of classes: ``temperature``, which is taken where not given, ``vector``, or ``isotonic``, which wants
            the most studies.
        overrides: config entries to change, those that ``infer`` is given.
        progress: told after every study.

    Returns:
        The path of the file.

    Raises:
        PolyscanError: the coverage or the method is none, the bundle tells neither classes nor volumes, the weights
            learnt from a study, the truth of too few is known, or something else has the file's name.
    """
    if not 0 < coverage < 1:
        raise PolyscanError(f"The coverage is {coverage:g}; expected a part of all studies below 1, such as 0.9.")
    if method is not None and method not in CALIBRATIONS:
        raise PolyscanError(f"The method of calibration is {method}; expected one of {', '.join(CALIBRATIONS)}.")
    bundle = bundle_folder(bundle)
    (file,) = weights_of(bundle, weights)
    path = file.with_name(CALIBRATION)
    check_writable_file(path, "calibration")
    content = read_config(bundle, "inference", overrides or {})
    if "calibrated" not in content:
        raise PolyscanError(f"{bundle.name} tells neither classes nor volumes, so that there is nothing to calibrate.")
    if "regions" not in content:
        fitted = _fit_classes(bundle, file, manifest, coverage, method or "temperature", overrides or {}, progress)
    elif method is not None:
        raise PolyscanError(f"{bundle.name} segments, and --method is of classes; leave it away.")
    else:
        fitted = _fit_volumes(bundle, file, manifest, coverage, overrides or {}, progress)
    fitted.save(path)
    return path


def _fit_classes(
    bundle: Path,
    file: Path,
    manifest: str | Path,
    coverage: float,
    method: CalibrationMethod,
    overrides: Mapping[str, Any],
    progress: Progress,
) -> TaskCalibration:
    """Probabilities and prediction sets of studies answered from some of their scans, and what these look like.

    Raises:
        PolyscanError: the weights learnt from a study, one cannot be read, or too few are labelled.
    """
    encoder = StudyEncoder(bundle, file, overrides)
    network, tasks = encoder.network, encoder.parser["tasks"]
    studies = [study for study in read_manifest(manifest).validation if study.label.tasks]
    check_not_learnt(studies, encoder.learnt)
    rows: list[tuple[Tensor, Tensor, Tensor, str]] = []
    seen: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for study in each_told(studies, progress):
        with torch.inference_mode():
            cached, label = encoder.encode(study, list(tasks))
            described = cached.described()[0].float().cpu().numpy()
            present = cached.available[0].nonzero().flatten().tolist()
            for m in present:
                seen[network.modalities[m]].append((study.subject, described[m]))
            for subset in tried_subsets(present):
                pattern = torch.zeros_like(cached.available)
                pattern[0, subset] = True
                rows.append((cached.logits(pattern)[0].cpu(), label, pattern[0].cpu(), study.subject))
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
    return replace(fitted, distances=distances_of(seen))


def _fit_volumes(
    bundle: Path, file: Path, manifest: str | Path, coverage: float, overrides: Mapping[str, Any], progress: Progress
) -> TaskCalibration:
    """Intervals of the volumes of studies that are segmented from some of their scans, and what these look like.

    Raises:
        PolyscanError: the weights learnt from a study, one cannot be segmented, or there are too few subjects.
    """
    answers: dict[tuple[str, str], list[tuple[float, float, str]]] = defaultdict(list)
    seen: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    with quiet(), TemporaryDirectory() as folder:
        tried = TriedSegmentation(bundle, file, manifest, overrides, folder)
        modalities: list[str] = tried.parser.get_parsed_content("modalities")
        features: KeptFeatures = tried.parser.get_parsed_content("kept_features")
        features.describes = True
        settings = {name: tried.parser.get_parsed_content(name) for name in SETTINGS}
        for study in each_told(tried.studies, progress):
            present = [name for name in modalities if name in study.scans]
            for subset in tried_subsets(present):
                said = tried.ask(study, set(present) - set(subset))
                pattern = pattern_of([name in said.present for name in modalities])
                for region, score in said.scores.items():
                    answers[region, pattern].append((said.volumes_ml[region], score.true_ml, study.subject))
                if subset == present:
                    described, acquired = features.described
                    for m in acquired.nonzero().flatten().tolist():
                        seen[modalities[m]].append((study.subject, described[m].numpy()))
    bounds: dict[str, dict[str, tuple[float, float]]] = {}
    for (region, pattern), each in answers.items():
        marked, true, whose = zip(*each, strict=True)
        found = volume_bounds(marked, true, whose, coverage)
        if max(found) < float("inf"):
            bounds.setdefault(region, {})[pattern] = found
    if not bounds:
        subjects, needed = {study.subject for study in tried.studies}, math.ceil(round(2 / (1 - coverage) - 1, 9))
        raise PolyscanError(
            f"{len(subjects)} subjects with a mask are too few to promise a coverage of {coverage:g}, which takes "
            f"{needed}; give more, or a lower coverage."
        )
    intervals = VolumeIntervals(coverage, bounds, settings)
    return TaskCalibration(
        {}, modalities, {}, {}, weights_fingerprint(file), distances=distances_of(seen), volumes=intervals
    )
