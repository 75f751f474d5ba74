"""What a trained network makes of each study of a cohort: features of each modality, and of all that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyscan.bundle.encoder import StudyEncoder
from polyscan.bundle.weights import weights_of
from polyscan.errors import PolyscanError
from polyscan.files.digest import sha256
from polyscan.fusion.blocks import flatten_space
from polyscan.study import Study
from polyscan.study.manifest import Manifest, manifest_of

FUSED = "fused"


def cohort_features(
    bundle: str | Path,
    manifest: str | Path | Manifest,
    *,
    weights: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Study, dict[str, NDArray]]]:
    """Read each study of a prepared manifest with a network, without its head.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: a prepared manifest, or that of ``infer``; its section ``testing``, or all where that is empty.
        weights: a file of weights; the bundle's own where not given.
        overrides: config entries to change, those that ``infer`` is given.

    Yields:
        The study, and (channel,) features of each modality that it has and of ``fused``: the deepest level, mean over
        the grid. Of a network that fuses behind its heads the fused ones are its logits.

    Raises:
        PolyscanError: the bundle, the weights or a study cannot be used, or other weights gave the answers that the
            manifest holds.
    """
    found = manifest_of(manifest)
    _check_weights(found, *weights_of(bundle, weights))
    encoder = StudyEncoder(bundle, weights, overrides)
    network = encoder.network
    for study in found.tested:
        with torch.inference_mode():
            cached, _ = encoder.encode(study)
            present = cached.available[0].nonzero().flatten().tolist()
            vectors = {network.modalities[m]: _vector(cached.pooled()[:, m]) for m in present}
            fused = cached.fuse(cached.available)[-1] if network.fused_channels else cached.logits()
            vectors[FUSED] = _vector(fused)
        yield study, vectors


def _check_weights(manifest: Manifest, file: Path) -> None:
    """Refuse to show one network beside what another one said."""
    said = {digest for study in manifest.tested if study.model for digest in study.model.weights}
    if said and sha256(file) not in said:
        raise PolyscanError(f"The answers of the manifest were not given by {file}; name their weights by --weights.")


def _vector(features: torch.Tensor) -> NDArray:
    """(1, channel, *spatial) to the mean over space."""
    return np.asarray(flatten_space(features, 2).mean(2)[0].float().cpu())
