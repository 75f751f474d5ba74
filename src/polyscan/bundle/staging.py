"""Lesions of a PET: how large, how avid, how far apart; and a stage by rules on that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import connected_components, to_sitk, voxel_ml
from polyscan.study import PredictionRecord, Study, TaskPrediction

MEASURES = ("lesions", "metabolic_tumour_volume_ml", "total_lesion_glycolysis", "spread_mm", "suv_max")


class Staging:
    """Measure the lesions that were segmented, and stage their extent and uptake.

    A stage is the first in the list none of whose limits is exceeded, so that a list reads from the mildest to the last
    one, which has no limits. What cannot be measured, as uptake without PET, exceeds none. The rules are the user's:
    they are no TNM, which asks where lesions lie.

    Args:
        stages: each ``{"stage": name}`` with upper limits on :data:`MEASURES`.
        uptake: modality whose values are SUV.
        smallest_ml: components below this volume are no lesions.

    Raises:
        PolyscanError: a limit is on something that is not measured, or the last stage has limits.
    """

    def __init__(self, stages: Sequence[Mapping[str, Any]], uptake: str = "PET", smallest_ml: float = 0.5) -> None:
        for stage in stages:
            unknown = set(stage) - {"stage", *MEASURES}
            if unknown or "stage" not in stage:
                raise PolyscanError(
                    f"Stage {dict(stage)} cannot be used; give 'stage' and upper limits on {', '.join(MEASURES)}."
                )
        if not stages or len(stages[-1]) > 1:
            raise PolyscanError("The last stage has limits, so that some extents would have none; leave them away.")
        self.stages = [dict(stage) for stage in stages]
        self.uptake = uptake
        self.smallest_ml = smallest_ml

    def __call__(self, study: Study, prediction: PredictionRecord) -> None:
        """Add the task ``stage`` to the prediction of a study: of its mask, and of the true one where there is one."""
        found = self._measure(study, prediction, prediction.path)
        staged = TaskPrediction(self.stage(found), measures=found)
        if study.label.mask is not None:
            staged.true_measures = self._measure(study, prediction, study.label.mask)
            staged.truth = self.stage(staged.true_measures)
        prediction.answers["stage"] = staged

    def stage(self, measures: Mapping[str, Any]) -> str | None:
        """The stage of measures; None without a lesion."""
        if measures["lesions"] == 0:
            return None
        for stage in self.stages:
            limits = {name: limit for name, limit in stage.items() if name != "stage"}
            if all(measures[name] is None or measures[name] <= limit for name, limit in limits.items()):
                return str(stage["stage"])
        return None

    def _measure(self, study: Study, prediction: PredictionRecord, mask: str) -> dict[str, Any]:
        image = read_nifti(mask)
        suv = None
        if self.uptake in prediction.present:
            import SimpleITK as sitk

            grid = to_sitk(image)
            moved = sitk.Resample(
                to_sitk(read_nifti(study.scans[self.uptake].path)),
                grid,
                sitk.Transform(),
                sitk.sitkLinear,
                float("nan"),
            )
            suv = sitk.GetArrayFromImage(moved).transpose()
        return measure_lesions(image[0].numpy() > 0.5, np.asarray(image.affine), suv, self.smallest_ml)


def measure_lesions(
    mask: np.ndarray, affine: np.ndarray, suv: np.ndarray | None = None, smallest_ml: float = 0.0
) -> dict[str, Any]:
    """Measure the connected components (26 neighbours) of a mask.

    Args:
        mask: (x, y, z) bool.
        affine: (4, 4) to millimetres.
        suv: (x, y, z) uptake on the same grid; NaN outside its field of view.
        smallest_ml: components below this volume are left out.

    Returns:
        ``lesions``, their number; ``metabolic_tumour_volume_ml``, the volume of all; ``spread_mm``, the largest
        distance between the centres of two (Cottereau et al., J Nucl Med 61, 2020: Dmax), 0 of one; ``suv_max`` and
        ``total_lesion_glycolysis``, the sum over lesions of volume in mL times mean SUV (Larson et al., Clin Positron
        Imaging 2, 1999), None without uptake; and ``each``, largest first: ``volume_ml``, ``longest_mm``
        (:func:`longest_diameter`), ``suv_max``, ``suv_mean``.
    """
    from scipy.ndimage import find_objects

    voxel = voxel_ml(affine)
    components, _ = connected_lesions(mask, affine, smallest_ml)
    each, centres, glycolysis, total = [], [], [], 0.0
    for number, place in enumerate(find_objects(components), start=1):
        inside = components[place] == number
        voxels = np.argwhere(inside) + [along.start for along in place]
        volume, longest = len(voxels) * voxel, longest_diameter(inside, affine)
        lesion: dict[str, Any] = {"volume_ml": round(volume, 2), "longest_mm": round(longest, 1)}
        values = suv[tuple(voxels.T)] if suv is not None else np.empty(0)
        values = values[np.isfinite(values)]
        if len(values):
            lesion.update(suv_max=round(float(values.max()), 2), suv_mean=round(float(values.mean()), 2))
            glycolysis.append(volume * float(values.mean()))
        total += volume
        each.append(lesion)
        centres.append(affine[:3, :3] @ voxels.mean(0) + affine[:3, 3])
    apart = [float(np.linalg.norm(a - b)) for a in centres for b in centres]
    return {
        "lesions": len(each),
        "metabolic_tumour_volume_ml": round(total, 2),
        "spread_mm": round(max(apart, default=0.0), 1),
        "suv_max": max((lesion["suv_max"] for lesion in each if "suv_max" in lesion), default=None),
        "total_lesion_glycolysis": round(sum(glycolysis), 1) if glycolysis else None,
        "each": sorted(each, key=lambda lesion: -lesion["volume_ml"]),
    }


def connected_lesions(mask: np.ndarray, affine: np.ndarray, smallest_ml: float = 0.0) -> tuple[np.ndarray, int]:
    """Number the connected components of a mask that are large enough; see :func:`connected_components`.

    Args:
        mask: (x, y, z) bool.
        affine: (4, 4) to millimetres.
        smallest_ml: components below this volume are left out.

    Returns:
        (x, y, z) int, 0 outside, 1 and up inside of each; and how many there are.
    """
    components = connected_components(mask)
    kept = np.bincount(components.ravel()) * voxel_ml(affine) >= smallest_ml
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0)
    return numbers[components], int(kept.sum())


def longest_diameter(mask: np.ndarray, affine: np.ndarray) -> float:
    """The largest distance in millimetres between two points of a lesion's surface, in any direction.

    The maximum 3D diameter of the Image Biomarker Standardisation Initiative (Zwanenburg et al., Radiology 295,
    2020). The surface is where voxels end, half a voxel from their centres.

    Args:
        mask: (x, y, z) bool, not empty.
        affine: (4, 4) to millimetres.
    """
    from scipy.ndimage import binary_erosion
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    voxels = np.argwhere(mask & ~binary_erosion(mask))
    ends = (voxels[:, None] + 0.5 * np.vstack([np.eye(3), -np.eye(3)])).reshape(-1, 3)
    points = ends @ affine[:3, :3].T
    return float(pdist(points[ConvexHull(points).vertices]).max())
