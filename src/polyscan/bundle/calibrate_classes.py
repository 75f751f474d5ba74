"""Calibrate the classes of a trained network, with modalities left out too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscan.bundle.carried import check_not_learnt
from polyscan.bundle.encoder import StudyEncoder
from polyscan.bundle.weights import weights_fingerprint
from polyscan.errors import PolyscanError
from polyscan.inference import TaskCalibration
from polyscan.inference.calibration import Method
from polyscan.inference.conformal import tried_subsets
from polyscan.inference.feature_distance import distances_of
from polyscan.inference.task_calibration import fit_calibration
from polyscan.progress import Progress
from polyscan.study.manifest import read_manifest


def fit_classes(
    bundle: Path,
    file: Path,
    manifest: str | Path,
    coverage: float,
    method: Method,
    overrides: Mapping[str, Any],
    progress: Progress,
) -> TaskCalibration:
    """Probabilities and prediction sets of studies answered from some of their scans, and what these look like.

    See :func:`polyscan.bundle.calibrate.calibrate` and :func:`tried_subsets`.

    Raises:
        PolyscanError: the weights learnt from a study, one cannot be read, or too few are labelled.
    """
    encoder = StudyEncoder(bundle, file, overrides)
    network, tasks = encoder.network, encoder.parser["tasks"]
    studies = [study for study in read_manifest(manifest).validation if study.label.tasks]
    check_not_learnt(studies, encoder.learnt)
    rows: list[tuple[Tensor, Tensor, Tensor, str]] = []
    seen: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for count, study in enumerate(studies, start=1):
        with torch.inference_mode():
            cached, label = encoder.encode(study, list(tasks))
            described = cached.described()[0].float().cpu().numpy()
            for m in cached.available[0].nonzero().flatten().tolist():
                seen[network.modalities[m]].append((study.subject, described[m]))
            for subset in tried_subsets(cached.available[0].nonzero().flatten().tolist()):
                pattern = torch.zeros_like(cached.available)
                pattern[0, subset] = True
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
    return replace(fitted, distances=distances_of(seen))
