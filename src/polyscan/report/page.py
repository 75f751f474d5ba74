"""The page: written study by study, so that a large cohort needs no large memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan import __version__
from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.formats.nifti import read_nifti
from polyscan.formats.pictures import is_picture
from polyscan.geometry import from_sitk, matrix_of, same_grid, to_sitk
from polyscan.parallel import Progress
from polyscan.report.pictures import PREDICTION, TRUTH, flat_picture, modality_picture, registration_picture
from polyscan.report.planes import planes
from polyscan.report.summary import modalities, summarise, summarise_answers
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest


def write_report(source: str | Path | Manifest, output: str | Path, *, progress: Progress | None = None) -> Path:
    """Make one HTML page from what ``polyscan infer`` wrote; it opens without a network.

    Args:
        source: the studies with their answers, or the folder where ``manifest.json`` and the predictions lie.
        output: the page to write, whole or not at all.
        progress: told (done, total, study) after each.

    Returns:
        The path of the page.

    Raises:
        PolyscanError: there are no predictions.
    """
    from jinja2 import Environment, PackageLoader

    manifest = source if isinstance(source, Manifest) else read_manifest(Path(source) / "manifest.json")
    studies = [study for study in manifest.studies if study.prediction is not None]
    predictions = [study.prediction for study in studies if study.prediction is not None]
    if not predictions:
        raise PolyscanError("There are no predictions to draw; make some with polyscan infer.")
    page = Environment(loader=PackageLoader("polyscan.report", "."), autoescape=True).get_template("page.html")

    def drawn() -> Any:
        for done, study in enumerate(studies, start=1):
            yield _describe(study)
            if progress is not None:
                progress(done, len(studies), study.key)

    content = page.stream(
        version=__version__,
        protocols=sorted({study.preparation.protocol for study in studies if study.preparation}),
        on_training=manifest.judged_on_training,
        absent=manifest.absent,
        failed=manifest.failed,
        count=len(studies),
        regions=summarise(predictions),
        tasks=summarise_answers(predictions),
        modalities=modalities(predictions),
        table=studies,
        colours={"prediction": PREDICTION, "truth": TRUTH},
        studies=drawn(),
    )
    with atomic_write(output) as temporary, temporary.open("wb") as file:
        content.dump(file, encoding="utf-8")
    return Path(output)


def _describe(study: Study) -> dict[str, Any]:
    """What the page shows of one study."""
    prediction, preparation = study.prediction, study.preparation
    assert prediction is not None
    said: dict[str, Any] = {
        "study": study,
        "reference": preparation.reference if preparation else None,
        "absent": [name for name in study.scans if name not in prediction.present],
        "registrations": {},
        "seconds": {**(preparation.seconds if preparation else {}), "predict": prediction.seconds},
    }
    paths = {name: scan.path for name, scan in study.scans.items()}
    if all(map(is_picture, paths.values())):
        return {**said, "pictures": {name: flat_picture(paths[name]) for name in prediction.present}}
    images = {name: read_nifti(path) for name, path in paths.items()}
    grid = read_nifti(prediction.path) if prediction.is_mask else images[said["reference"] or next(iter(images))]
    masks = {"prediction": grid[0].numpy() > 0} if prediction.is_mask else {}
    if study.label.mask is not None:
        masks["truth"] = read_nifti(study.label.mask)[0].numpy() > 0
    cuts = planes(grid, _centre(masks, grid.shape[1:]))
    shown = {name: _on(grid, image) for name, image in images.items()}
    said["pictures"] = {name: modality_picture(name, shown[name], cuts, masks) for name in prediction.present}
    if preparation and preparation.reference in images:
        fixed = shown[preparation.reference][0].numpy()
        for name, file in preparation.transforms.items():
            said["registrations"][name] = {
                "reason": preparation.registrations[name].reason,
                "before": registration_picture(fixed, images[name], _before(file), name, cuts),
                "after": registration_picture(fixed, images[name], np.eye(4), name, cuts),
            }
    return said


def _before(file: str) -> np.ndarray:
    """What lays a registered scan back where its header had it: (4, 4) on LPS+ millimetres.

    At a point x of the reference the prepared scan shows the scan's own point T x, so that its own point x is what the
    prepared scan shows at the inverse of T.
    """
    import SimpleITK as sitk

    return np.linalg.inv(matrix_of(sitk.ReadTransform(file)))


def _on(grid: MetaTensor, image: MetaTensor) -> MetaTensor:
    """A scan that has kept a grid of its own, as it is seen on the one that is shown."""
    import SimpleITK as sitk

    if same_grid(image, grid):
        return image
    reference = to_sitk(MetaTensor(torch.zeros(1, *grid.shape[1:]), affine=grid.affine))
    return from_sitk(sitk.Resample(to_sitk(image), reference, sitk.Transform(), sitk.sitkLinear, float("nan")))


def _centre(masks: dict[str, np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """A voxel in the middle of what was predicted, or of the truth, or of the image."""
    for mask in masks.values():
        if mask.any():
            voxels = np.argwhere(mask)
            return voxels[np.linalg.norm(voxels - voxels.mean(0), axis=1).argmin()]
    return np.array(shape) // 2
