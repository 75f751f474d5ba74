"""NIfTI in and out; a PET image with a BIDS sidecar in Bq/mL becomes SUV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.io.files import read_json, whole_file
from polyscan.modality import modality

_HALF_LIFE = {"F18": 6586.2, "C11": 1223.4, "GA68": 4062.6, "CU64": 45_723.6, "ZR89": 282_240.0, "O15": 122.24}


def read_nifti(path: str | Path, name: str | None = None) -> MetaTensor:
    """Read a 3D image.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.
        name: its modality, which tells the unit; None for masks and images that are prepared already.

    Returns:
        (1, x, y, z) float32 with a RAS+ affine in millimetres; ``meta["unit"]`` says what a value means and
        ``meta["problems"]`` what had to be assumed.

    Raises:
        PolyscanError: no readable NIfTI file, not one 3D volume, or no usable affine.
    """
    path = Path(path)
    try:
        file: Any = nibabel.load(path)
        values = np.asanyarray(file.dataobj, dtype=np.float32)
    except FileNotFoundError:
        raise PolyscanError(f"{path} does not exist; name an existing file in the manifest.") from None
    except Exception as error:
        raise PolyscanError(f"{path} cannot be read as NIfTI ({error}); write it again or leave it out.") from error
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise PolyscanError(f"{path} has shape {values.shape}; expected one 3D volume: split it first.")
    affine = np.asarray(file.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise PolyscanError(f"{path} has no usable affine in its header; set its sform or qform.")
    meta = {"unit": modality(name).unit if name else "arbitrary", "problems": []}
    if meta["unit"] == "SUVbw":
        factor, problem = _suv(path)
        values = values * np.float32(factor)
        meta["problems"] = [problem] if problem else []
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(values)[None]), affine=torch.from_numpy(affine), meta=meta)


def write_nifti(path: str | Path, image: MetaTensor) -> None:
    """Write a (1, x, y, z) image with its affine, in the type that it has, whole or not at all."""
    values = image[0].cpu().numpy()
    file = nibabel.Nifti1Image(values, np.asarray(image.affine, dtype=float))
    file.header.set_xyzt_units("mm")
    with whole_file(path) as temporary:
        nibabel.save(file, temporary)


def _suv(path: Path) -> tuple[float, str | None]:
    """What the values are multiplied by, after the BIDS sidecar (BIDS 1.9, PET), and what had to be assumed."""
    sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    if not sidecar.exists():
        return 1.0, "no JSON sidecar tells the unit: taken as SUV already"
    content = read_json(sidecar)
    units = str(content.get("Units", "")).replace(" ", "").lower()
    if units in ("g/ml", "suv", "suvbw", "unitless"):
        return 1.0, None
    if units != "bq/ml":
        raise PolyscanError(f"{sidecar} has Units {content.get('Units')!r}; expected Bq/mL or g/mL.")
    try:
        weight = float(content["BodyWeight"])
        scale = {"MBQ": 1e6, "KBQ": 1e3, "BQ": 1.0}[content["InjectedRadioactivityUnits"].upper()]
        dose = float(content["InjectedRadioactivity"]) * scale
        half_life = _HALF_LIFE[content["TracerRadionuclide"].upper().replace("-", "")]
        corrected = bool(content["ImageDecayCorrected"])
        moment = float(content["ImageDecayCorrectionTime"]) if corrected else float(content["ScanStart"])
        injection = float(content["InjectionStart"])  # like the others relative to TimeZero
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PolyscanError(f"{sidecar} has no usable {error}; SUV needs the PET fields of BIDS.") from None
    if weight <= 0 or dose <= 0:
        raise PolyscanError(
            f"{sidecar} has BodyWeight {weight:g} and InjectedRadioactivity {dose:g}; both must be > 0."
        )
    return weight * 1000 / (dose * 0.5 ** ((moment - injection) / half_life)), None
