"""How sure a network is of regions that may overlap, voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import MetaTensor

from polyscan.formats.nifti import read_nifti
from polyscan.study import PredictionRecord


def region_probabilities(file: str, regions: int) -> list[MetaTensor]:
    """The probability of each region, (1, x, y, z), of a NIfTI of (x, y, z, region)."""
    return [read_nifti(f"{file}#{channel}") for channel in range(1, regions + 1)]


def uncertainty_map(probabilities: Sequence[MetaTensor]) -> MetaTensor:
    """The entropy of the region that is the least sure, in bits: 0 sure, 1 a guess.

    Args:
        probabilities: of each region, (1, x, y, z) from 0 to 1, on one grid.
    """
    p = torch.stack([each.as_tensor() for each in probabilities]).clip(1e-6, 1 - 1e-6)
    entropy = -(p * p.log2() + (1 - p) * (1 - p).log2())
    return MetaTensor(entropy.amax(0), affine=probabilities[0].affine)


def doubts_of(prediction: PredictionRecord) -> dict[str, MetaTensor]:
    """Maps of how sure a mask is, in bits, and of the parts of that where they were asked for; none where not kept."""
    if prediction.entropies is not None:
        aleatoric, epistemic = (read_nifti(f"{prediction.entropies}#{channel}") for channel in (1, 2))
        total = MetaTensor(aleatoric.as_tensor() + epistemic.as_tensor(), affine=aleatoric.affine)
        return {"uncertainty": total, "aleatoric": aleatoric, "epistemic": epistemic}
    if prediction.probabilities is not None and prediction.regions:
        return {"uncertainty": uncertainty_map(region_probabilities(prediction.probabilities, len(prediction.regions)))}
    return {}
