"""The page: written study by study, so that a large cohort needs no large memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan import __version__
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import whole_file
from polyscan.formats.nifti import read_nifti
from polyscan.formats.pictures import is_picture
from polyscan.formats.read import read_image
from polyscan.geometry import from_sitk, same_grid, to_sitk
from polyscan.parallel import Progress
from polyscan.report.pictures import PREDICTION, TRUTH, flat_picture, modality_picture, registration_picture
from polyscan.report.planes import Plane, planes
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
    studies = [study for study in manifest.studies if "prediction" in study.extra]
    if not studies:
        raise PolyscanError("There are no predictions to draw; make some with polyscan infer.")
    page = Environment(loader=PackageLoader("polyscan.report", "."), autoescape=True).get_template("page.html")

    def drawn() -> Any:
        for done, study in enumerate(studies, start=1):
            yield _describe(study)
            if progress is not None:
                progress(done, len(studies), study.key)

    content = page.stream(
        version=__version__,
        info=manifest.info,
        count=len(studies),
        regions=summarise(studies),
        tasks=summarise_answers(studies),
        modalities=modalities(studies),
        table=studies,
        colours={"prediction": PREDICTION, "truth": TRUTH},
        studies=drawn(),
    )
    with whole_file(output) as temporary, temporary.open("wb") as file:
        content.dump(file, encoding="utf-8")
    return Path(output)


def _describe(study: Study) -> dict[str, Any]:
    """What the page shows of one study."""
    extra = study.extra
    present = extra.get("present", list(study.images))
    said = {
        "study": study,
        "reference": extra.get("reference", next(iter(study.images))),
        "absent": [name for name in study.images if name not in present],
        "registrations": {},
        "seconds": {**extra.get("seconds", {}), "predict": extra.get("infer_seconds")},
    }
    if all(is_picture(str(path)) for path in study.images.values()):
        return {**said, "pictures": {name: flat_picture(str(study.images[name])) for name in present}}
    images = {name: read_nifti(study.images[name]) for name in study.images}  # type: ignore[arg-type]
    segmented = not str(extra["prediction"]).endswith(".json")
    grid = read_nifti(extra["prediction"]) if segmented else images[said["reference"]]
    masks = {"prediction": grid[0].numpy() > 0} if segmented else {}
    if "mask" in study.label:
        masks["truth"] = read_nifti(study.label["mask"])[0].numpy() > 0
    cuts = planes(grid, _centre(masks, grid.shape[1:]))
    images = {name: _on(grid, image) for name, image in images.items()}
    said["pictures"] = {name: modality_picture(name, images[name], cuts, masks) for name in present}
    if said["reference"] in images:
        said["registrations"] = _registrations(study, images[said["reference"]], cuts)
    return said


def _on(grid: MetaTensor, image: MetaTensor) -> MetaTensor:
    """A scan that has kept a grid of its own, as it is seen on the one that is shown."""
    import SimpleITK as sitk

    if same_grid(image, grid):
        return image
    like = to_sitk(MetaTensor(torch.zeros(1, *grid.shape[1:]), affine=grid.affine))
    return from_sitk(sitk.Resample(to_sitk(image), like, sitk.Transform(), sitk.sitkLinear, float("nan")))


def _registrations(study: Study, fixed: MetaTensor, cuts: list[Plane]) -> dict[str, dict[str, str]]:
    """Before and after for each scan that was registered, or why it cannot be shown."""
    import SimpleITK as sitk

    shown: dict[str, dict[str, str]] = {}
    for name, path in study.extra.get("transforms", {}).items():
        entry = {"reason": study.extra.get("registrations", {}).get(name, {}).get("reason", "")}
        try:
            moving = to_sitk(read_image(study.extra["sources"][name], name, study.extra.get("given")))
            after = sitk.ReadTransform(path)
            values = fixed[0].numpy()
            entry["before"] = registration_picture(values, moving, None, name, cuts)
            entry["after"] = registration_picture(values, moving, after, name, cuts)
        except Exception as error:  # a page with a sentence in place of one picture is better than no page
            entry["missing"] = f"Not shown: {sentence(error)}"
        shown[name] = entry
    return shown


def _centre(masks: dict[str, np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """A voxel in the middle of what was predicted, or of the truth, or of the image."""
    for mask in masks.values():
        if mask.any():
            voxels = np.argwhere(mask)
            return voxels[np.linalg.norm(voxels - voxels.mean(0), axis=1).argmin()]
    return np.array(shape) // 2
