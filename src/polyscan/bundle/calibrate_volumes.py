"""Calibrate the volumes of a trained segmentation, with modalities left out too, and tell what its scans look like."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from polyscan.bundle.config import quiet
from polyscan.bundle.tried import TriedSegmentation
from polyscan.bundle.weights import weights_fingerprint
from polyscan.errors import PolyscanError
from polyscan.inference import KeptFeatures, TaskCalibration
from polyscan.inference.conformal import pattern_of, tried_subsets
from polyscan.inference.feature_distance import distances_of
from polyscan.inference.volume_intervals import SETTINGS, VolumeIntervals, volume_bounds
from polyscan.progress import Progress


def fit_volumes(
    bundle: Path, file: Path, manifest: str | Path, coverage: float, overrides: Mapping[str, Any], progress: Progress
) -> TaskCalibration:
    """Intervals of the volumes of studies that are segmented from some of their scans, and what these look like.

    See :func:`polyscan.bundle.calibrate.calibrate` and :func:`tried_subsets`.

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
        for count, study in enumerate(tried.studies, start=1):
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
            progress(count, len(tried.studies), study.key)
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
