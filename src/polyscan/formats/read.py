"""One way to read a scan or a label, whatever it is stored as."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polyscan.dicom.attributes import text
from polyscan.dicom.headers import read_headers
from polyscan.dicom.pixels import name_of
from polyscan.dicom.read import one_series, read_series
from polyscan.dicom.rtstruct import read_rtstruct
from polyscan.dicom.segmentation import SOP_CLASSES, read_segmentation
from polyscan.errors import PolyscanError
from polyscan.files.numbered import numbered
from polyscan.formats.diffusivity import to_square_micrometres, told_of
from polyscan.formats.endings import ITK, ending_of, is_volume
from polyscan.formats.fill_values import check_not_empty, unlike_hounsfield, unlike_suv, without_fill_values
from polyscan.formats.itk import open_itk
from polyscan.formats.nifti import open_nifti
from polyscan.formats.volume import Volume
from polyscan.geometry import image_of, in_axes_of, same_grid
from polyscan.modality import modality
from polyscan.study import Label, Source, paths_in

if TYPE_CHECKING:
    from monai.data import MetaTensor


_HIGHEST_LABEL = 2**24  # to which each whole number is one of float32
_MANY = 64  # labels; a mask with more is one of parcels, an image has more


def open_volume(source: str | Path) -> Volume:
    """Open a file that holds a volume with its affine: its header is read, its values when they are asked for.

    Args:
        source: its path; ``#2`` behind it takes the second of several volumes.

    Raises:
        PolyscanError: it cannot be read, or holds no 3D volume of numbers.
    """
    path, number = numbered(source)
    with _naming(str(path)):
        return open_itk(path, number) if ending_of(path.name).lower() in ITK else open_nifti(path, number)


def read_volume(source: str | Path) -> MetaTensor:
    """Read a file that holds a volume, whatever its values mean: (1, x, y, z) float32, a RAS+ affine in millimetres.

    Raises:
        PolyscanError: it cannot be read.
    """
    with _naming(str(source)):
        return open_volume(source).read()


def read_image(source: Source, name: str, given: dict[str, Any] | None = None) -> MetaTensor:
    """Read a scan: a file of a volume, a folder of one DICOM series, or the files of one.

    Args:
        source: where it lies.
        name: its modality.
        given: attributes that DICOM headers of PET lack.

    Returns:
        (1, x, y, z) float32 with a RAS+ affine in millimetres, in the unit of its modality.

    Raises:
        PolyscanError: it cannot be read, or its unit is not the one of its modality.
    """
    unit = modality(name).unit
    with _naming(source):
        if isinstance(source, str) and is_volume(source):
            return _checked(open_volume(source).read(name, given), name)
        series = one_series(source)
        image = read_series(series, given)
        if image.meta["unit"] != unit:
            raise PolyscanError(
                f"The series named as {name} has values in {image.meta['unit']}; expected {unit}: correct the modality "
                "in the manifest."
            )
        image.meta["problems"] += without_fill_values(image.numpy(), "The series", unit)
        check_not_empty(image.numpy(), "The series")
        return _checked(image, name, told_of(series.headers[0]))


def _checked(image: MetaTensor, name: str, adc_unit: float | None = None) -> MetaTensor:
    """A scan with what is doubtful about its values, an ADC map in 1e-6 mm2/s."""
    values, said, doubts = image[0].numpy(), list[str](), list[str]()
    if modality(name).name == "ADC":
        said, doubts = to_square_micrometres(values, adc_unit)
    elif image.meta["unit"] == "HU":
        doubts = unlike_hounsfield(values)
    elif image.meta["unit"] == "SUVbw":
        doubts = unlike_suv(values)
    image.meta["problems"] += said + doubts
    image.meta["doubts"] = [*image.meta.get("doubts", []), *doubts]
    return image


def read_label(label: Label, drawn_on: MetaTensor) -> MetaTensor:
    """Read a label mask on the grid of the scan that it was drawn on.

    Args:
        label: its mask and, for an RTSTRUCT or SEG of several regions, which one is wanted.
        drawn_on: that scan (1, x, y, z).

    Returns:
        (1, x, y, z) uint8 or, where labels exceed 255, int16, and int32 beyond that.

    Raises:
        PolyscanError: it cannot be read, has another grid, or holds values that are no labels.
    """
    if label.mask is None:
        raise PolyscanError("The label has no mask; name its file in the manifest.")
    with _naming(label.mask):
        return _label(label.mask, drawn_on, label.roi)


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Make any exception of a reader one sentence that names the file, and no value of it."""
    path = Path(paths_in(source)[0])
    try:
        yield
    except PolyscanError as error:
        if re.search(rf"(?<!\w){re.escape(path.name.split('#')[0])}(?!\w)", str(error)):
            raise
        raise PolyscanError(f"{name_of(path)}: {error}") from error
    except PermissionError as error:
        raise PolyscanError(f"{name_of(path)} may not be read: no permission.") from error
    except Exception as error:  # a spoiled file makes libraries fail in as many ways as there are libraries
        attribute = f" at {error.name}" if isinstance(error, AttributeError) and error.name else ""
        raise PolyscanError(
            f"{name_of(path)} cannot be read ({type(error).__name__}{attribute}); export it again or leave it out."
        ) from error


def _label(path: str, drawn_on: MetaTensor, roi: str | None) -> MetaTensor:
    if not is_volume(path):
        reader = read_segmentation if _sop_class(path) in SOP_CLASSES else read_rtstruct
        return reader(path, drawn_on, roi)
    mask = in_axes_of(read_volume(path), drawn_on)
    if not same_grid(mask, drawn_on):
        raise PolyscanError(
            f"{Path(path).name} has another grid than its scan: {list(mask.shape[1:])} voxels "
            f"and {list(drawn_on.shape[1:])}, or another place; draw it on that scan or correct 'drawn_on'."
        )
    values = mask[0].numpy()
    whole = np.isfinite(values).all() and np.abs(values - np.rint(values)).max() <= 1e-3
    if not whole or not 0 <= values.min() <= values.max() <= _HIGHEST_LABEL:
        raise PolyscanError(
            f"{Path(path).name} holds values that are no whole numbers from 0 to {_HIGHEST_LABEL}; export it again."
        )
    if values.max() > _MANY and not _is_piecewise_constant(values):
        raise PolyscanError(
            f"{Path(path).name} is no mask: few neighbouring voxels share a value, as in an image; name the mask in "
            "the manifest."
        )
    kind = next(kind for kind in (np.uint8, np.int16, np.int32) if values.max() <= np.iinfo(kind).max)
    return image_of(np.rint(values).astype(kind), drawn_on.affine)


def _is_piecewise_constant(values: np.ndarray) -> bool:
    """Whether at least half of the neighbours along the first axis share a value, where both have one."""
    first, second = values[1:], values[:-1]
    both = (first > 0) & (second > 0)
    return not both.any() or bool((first == second)[both].mean() >= 0.5)


def _sop_class(path: str) -> str:
    return next((text(header, "SOPClassUID") for _, header in read_headers([Path(path)])), "")
