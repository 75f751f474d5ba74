"""The page: written study by study, so that a large cohort needs no large memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from polyscan import __version__
from polyscan.errors import PolyscanError, sentence
from polyscan.io.files import whole_file
from polyscan.io.geometry import to_sitk
from polyscan.io.manifest import read_manifest
from polyscan.io.nifti import read_nifti
from polyscan.io.read import read_image
from polyscan.parallel import Progress
from polyscan.report.pictures import PREDICTION, TRUTH, modality_picture, registration_picture
from polyscan.report.planes import Plane, planes
from polyscan.report.summary import modalities, summarise
from polyscan.study import Study


def write_report(folder: str | Path, output: str | Path, *, progress: Progress | None = None) -> Path:
    """Make one HTML page from what ``polyscan infer`` wrote; it opens without a network.

    Args:
        folder: where ``manifest.json`` and the predictions lie.
        output: the page to write, whole or not at all.
        progress: told (done, total, study) after each.

    Returns:
        The path of the page.

    Raises:
        PolyscanError: the folder holds no predictions.
    """
    from jinja2 import Environment, PackageLoader

    manifest = read_manifest(Path(folder) / "manifest.json")
    studies = [study for study in manifest.studies if "prediction" in study.extra]
    if not studies:
        raise PolyscanError(f"{folder} holds no predictions; make some with polyscan infer.")
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
    prediction = read_nifti(extra["prediction"])
    masks = {"prediction": prediction[0].numpy() > 0}
    if "mask" in study.label:
        masks["truth"] = read_nifti(study.label["mask"])[0].numpy() > 0
    reference = extra.get("reference", next(iter(study.images)))
    cuts = planes(prediction, _centre(masks))
    images = {name: read_nifti(study.images[name]) for name in study.images}  # type: ignore[arg-type]
    return {
        "study": study,
        "reference": reference,
        "pictures": {name: modality_picture(name, images[name], cuts, masks) for name in present},
        "absent": [name for name in study.images if name not in present],
        "registrations": _registrations(study, images[reference], cuts) if reference in images else {},
        "seconds": {**extra.get("seconds", {}), "predict": extra.get("infer_seconds")},
    }


def _registrations(study: Study, fixed: MetaTensor, cuts: list[Plane]) -> dict[str, dict[str, str]]:
    """Before and after for each scan that was registered, or why it cannot be shown."""
    import SimpleITK as sitk

    shown: dict[str, dict[str, str]] = {}
    for name, path in study.extra.get("transforms", {}).items():
        entry = {"reason": study.extra.get("registrations", {}).get(name, {}).get("reason", "")}
        try:
            moving = to_sitk(read_image(study.extra["sources"][name], name))
            after = sitk.ReadTransform(path)
            values = fixed[0].numpy()
            entry["before"] = registration_picture(values, moving, None, name, cuts)
            entry["after"] = registration_picture(values, moving, after, name, cuts)
        except Exception as error:  # a page with a sentence in place of one picture is better than no page
            entry["missing"] = f"Not shown: {sentence(error)}"
        shown[name] = entry
    return shown


def _centre(masks: dict[str, np.ndarray]) -> np.ndarray:
    """A voxel in the middle of what was predicted, or of the truth, or of the image."""
    for mask in masks.values():
        if mask.any():
            voxels = np.argwhere(mask)
            return voxels[np.linalg.norm(voxels - voxels.mean(0), axis=1).argmin()]
    return np.array(masks["prediction"].shape) // 2
