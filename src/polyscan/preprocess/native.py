"""Take masks back to the grids of the scans as they were acquired, by the inverse of each scan's registration."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.data import MetaTensor

from polyscan.dicom.read import read_series
from polyscan.errors import PolyscanError
from polyscan.files.atomic import write_json
from polyscan.formats.endings import is_volume
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.formats.read import read_volume
from polyscan.parallel import Progress
from polyscan.preprocess.resample import resample
from polyscan.study import Source, Study
from polyscan.study.manifest import Manifest
from polyscan.study.outputs import OutputFolder, sources_of

INDEX = "native.json"


def to_native(mask: MetaTensor, grid: MetaTensor, transform: str | Path | None = None) -> MetaTensor:
    """Bring a mask from the reference to the grid of a scan that was registered to it.

    Each voxel of the scan takes the label of the voxel of the mask that its centre lies in.

    Args:
        mask: (1, x, y, z) labels in the space of the reference.
        grid: the scan (1, x, y, z) as it was acquired.
        transform: the file that ``prepare`` wrote for the scan, whose transform goes from points of the reference to
            points of the scan; None where it was not registered.

    Returns:
        (1, x, y, z) labels on the scan's own grid; 0 outside of the mask.
    """
    import SimpleITK as sitk

    inverse = sitk.ReadTransform(str(transform)).GetInverse() if transform else None
    return resample(mask, grid, inverse, label=True)


def write_native(manifest: Manifest, out: str | Path, *, progress: Progress | None = None) -> dict[str, dict[str, str]]:
    """Write the masks that ``infer`` predicted on the own grid of each scan that was prepared.

    Args:
        manifest: what ``infer`` wrote.
        out: folder that is new, empty, or was made so; a mask is ``<study>_space-<modality>_dseg.nii.gz``, and
            ``native.json`` lists them.
        progress: told (done, total, study) after each.

    Returns:
        Study to modality to the mask's path. A scan whose files cannot be read any more has none; ``native.json`` says
        why.

    Raises:
        PolyscanError: no study has a predicted mask, or ``out`` cannot be used.
    """
    studies = [s for s in manifest.studies if str(s.extra.get("prediction", "")).endswith(".nii.gz")]
    if not studies:
        raise PolyscanError("No study has a predicted mask; name the manifest that polyscan infer wrote.")
    names = {study.key: {m: f"{study.key}_space-{_plain(m)}_dseg.nii.gz" for m in _sources(study)} for study in studies}
    scans = [Study(study.subject, study.session, images=_sources(study)) for study in studies]
    owned = OutputFolder.claim(out, "native", sources_of([*studies, *scans]))
    owned.will_hold([INDEX, *(name for each in names.values() for name in each.values())])
    written: dict[str, dict[str, str]] = {}
    failed: dict[str, dict[str, str]] = {}
    for count, study in enumerate(studies, start=1):
        mask = read_nifti(study.extra["prediction"])
        for modality, source in _sources(study).items():
            path = owned.path / names[study.key][modality]
            try:
                labels = to_native(mask, _grid(source), study.extra.get("transforms", {}).get(modality))
            except PolyscanError as error:
                failed.setdefault(study.key, {})[modality] = str(error)
                continue
            write_nifti(path, MetaTensor(labels.as_tensor().to(torch.uint8), affine=labels.affine))
            written.setdefault(study.key, {})[modality] = str(path)
        if progress is not None:
            progress(count, len(studies), study.key)
    index = {key: {m: Path(path).name for m, path in each.items()} for key, each in written.items()}
    write_json(owned.path / INDEX, {"masks": index, "failed": failed})
    owned.remove_others([INDEX, *(name for each in index.values() for name in each.values())])
    return written


def _sources(study: Study) -> dict[str, Source]:
    """Modality to where its scan lies as it was acquired, of the scans that were prepared."""
    return dict(study.extra.get("sources", {}))


def _grid(source: Source) -> MetaTensor:
    return read_volume(source) if isinstance(source, str) and is_volume(source) else read_series(source)


def _plain(name: str) -> str:
    """A modality, and its time where it has one, in letters and digits as BIDS labels are."""
    return name.replace("@", "time")
