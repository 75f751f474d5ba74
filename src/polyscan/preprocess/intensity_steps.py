"""The steps of a protocol that find a mask and bring intensities to a scale in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import image_of, same_grid
from polyscan.modality import modality
from polyscan.preprocess.bias import bias_field
from polyscan.preprocess.brain import brain_mask
from polyscan.preprocess.mask import foreground
from polyscan.preprocess.normalize import HistogramStandard, Whitening, robust_z_score, z_score
from polyscan.preprocess.resample import resample
from polyscan.preprocess.steps import Record, Step, present


class ForegroundMaskd(Step):
    """Find the body in the reference scan."""

    name = "mask"

    def apply(self, data: dict[str, Any], record: Record) -> None:
        image = data[record.reference]
        values = image[0].cpu().numpy()
        body = foreground(values, unit=image.meta["unit"])
        if np.array_equal(body, np.isfinite(values)):
            record.problems["foreground"] = f"no body was found in {record.reference}: all that was measured is taken"
        data["foreground"] = image_of(body.astype(np.uint8), image.affine)
        self.tell(record, record.reference, method="body")


class BrainMaskd(Step):
    """Find the brain in the reference scan, or take the mask that the study names.

    Args:
        method: ``"given"``, the file under ``brain_mask`` of the study in the manifest, on any grid that lies where the
            reference lies; ``"atlas"`` or an installed tool, see :func:`polyscan.preprocess.brain.brain_mask`.
    """

    name = "mask"

    def __init__(self, method: str = "given") -> None:
        self.method = method

    def apply(self, data: dict[str, Any], record: Record) -> None:
        image = data[record.reference]
        if self.method == "given":
            path = record.study.brain_mask
            if not path:
                raise PolyscanError("the manifest names no mask; add brain_mask, or use atlas, hd-bet or synthstrip.")
            mask = resample(read_nifti(path), image, label=True)[0].numpy() > 0.5
        else:
            mask = brain_mask(image, self.method)
        if not mask.any():
            record.problems["foreground"] = f"the mask is empty on {record.reference}: nothing can be normalised in it"
        data["foreground"] = image_of(mask.astype(np.uint8), image.affine)
        self.tell(record, record.reference, method=self.method)


class _Normalize(Step):
    """A step that changes the scale of each of its modalities inside the mask that an earlier step found."""

    unit = "arbitrary"

    def __init__(self, keys: Sequence[str] | None) -> None:
        self.keys = None if keys is None else list(keys)

    def scaled(self, image: MetaTensor, mask: np.ndarray, name: str) -> tuple[np.ndarray, dict[str, Any]]:
        """The new (x, y, z) values and what to write down; PolyscanError where the scan cannot be used."""
        raise NotImplementedError

    def apply(self, data: dict[str, Any], record: Record) -> None:
        known = present(data)
        keys = [name for name in known if not modality(name).has_unit] if self.keys is None else self.keys
        for name in [name for name in keys if name in known]:
            image = data[name]
            mask = mask_on(data, image)
            try:
                values, what = self.scaled(image, mask, name)
            except PolyscanError as error:
                self.leave_out(data, record, name, str(error))
                continue
            data[name] = image_of(values, image.affine, {"unit": self.unit})
            self.tell(record, name, **what)


class ZScored(_Normalize):
    """Give scans without a unit mean 0 and standard deviation 1 inside the body.

    Args:
        keys: modalities; where not given, all that have no unit (:attr:`polyscan.modality.Modality.has_unit`).
        robust: whether to use median and median absolute deviation, which a bright lesion does not move.
    """

    name = "z-score"
    unit = "z-score"

    def __init__(self, keys: Sequence[str] | None = None, robust: bool = False) -> None:
        super().__init__(keys)
        self.robust = robust

    def scaled(self, image: MetaTensor, mask: np.ndarray, name: str) -> tuple[np.ndarray, dict[str, Any]]:
        standardization = (robust_z_score if self.robust else z_score)(image[0].numpy(), mask)
        what = {
            "centre": round(standardization.centre, 4),
            "scale": round(standardization.scale, 4),
            "robust": self.robust,
        }
        return standardization(image[0].numpy()), what


class BiasFieldd(_Normalize):
    """Remove the bias field of MRI by N4."""

    name = "bias field"

    def scaled(self, image: MetaTensor, mask: np.ndarray, name: str) -> tuple[np.ndarray, dict[str, Any]]:
        field = bias_field(image, mask)
        inside = field[mask]
        return image[0].numpy() / field, {
            "method": "N4",
            "range": [round(float(v), 3) for v in (inside.min(), inside.max())],
        }


class HistogramStandardized(_Normalize):
    """Bring MRI onto the standard scale of a cohort (Nyul).

    Args:
        standards: modality to the file that :meth:`polyscan.preprocess.normalize.HistogramStandard.save` wrote.
    """

    name = "histogram standard"
    unit = "standard scale"

    def __init__(self, standards: Mapping[str, str]) -> None:
        super().__init__(list(standards))
        self.standards = {name: HistogramStandard.load(path) for name, path in standards.items()}

    def scaled(self, image: MetaTensor, mask: np.ndarray, name: str) -> tuple[np.ndarray, dict[str, Any]]:
        landmarks = self.standards[name].match(image[0].numpy(), mask)
        return landmarks(image[0].numpy()), {"landmarks": [round(float(value), 3) for value in landmarks.own]}


class ZCAWhiteningd(Step):
    """Normalise modalities together: mean 0 and the identity as covariance over the body.

    Only where all of them are there and none is a copy of others; otherwise they stay as they are, and that is said.
    One without contrast is left out.

    Args:
        keys: modalities, on one grid.
    """

    name = "whiten"

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)

    def apply(self, data: dict[str, Any], record: Record) -> None:
        for name in [name for name in self.keys if name in present(data)]:
            mask = mask_on(data, data[name])
            try:
                z_score(data[name][0].numpy(), mask)
            except PolyscanError as error:
                self.leave_out(data, record, name, str(error))
        missing = [name for name in self.keys if name not in present(data)]
        if missing:
            for name in (name for name in self.keys if name in present(data)):
                record.problems[name] = f"not whitened: {', '.join(missing)} is missing"
            return
        images = [data[name] for name in self.keys]
        values = np.stack([image[0].numpy() for image in images])
        mask = mask_on(data, images[0])
        try:
            whitening = Whitening.fit(values, mask)
        except PolyscanError as error:
            record.problems.update(dict.fromkeys(self.keys, f"not whitened: {error}"))
            return
        for name, image, white in zip(self.keys, images, whitening(values), strict=True):
            data[name] = image_of(white, image.affine, {"unit": "whitened"})
            what = {"modalities": self.keys, "mean": whitening.mean.tolist(), "matrix": whitening.whiten.tolist()}
            self.tell(record, name, **what)


def mask_on(data: Mapping[str, Any], image: MetaTensor) -> np.ndarray:
    """The body on an image's grid (x, y, z); a step must have found it.

    Raises:
        PolyscanError: no step found it before.
    """
    if "foreground" not in data:
        raise PolyscanError(
            "the protocol normalises before it has a mask; put ForegroundMaskd or BrainMaskd before it."
        )
    mask = data["foreground"]
    mask = mask if same_grid(mask, image, tolerance=1e-3) else resample(mask, image, label=True)
    return mask[0].numpy() > 0
