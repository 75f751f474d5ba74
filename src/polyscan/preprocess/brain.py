"""Where the brain is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.preprocess.atlas import atlas_brain_mask, without_gaps

_TOOLS = {  # with what stands before the scan's name, before the mask's, and after both
    "hd-bet": ("hd-bet -i", "-o", "-device cpu --disable_tta --save_bet_mask"),
    "synthstrip": ("mri_synthstrip -i", "-m", ""),
}


def brain_mask(image: MetaTensor, tool: str) -> np.ndarray:
    """Find the brain in a scan of a head, by an atlas or with a tool that is installed beside polyscan.

    Args:
        image: (1, x, y, z) MRI or CT; NaN is outside the field of view.
        tool: ``"atlas"`` (:func:`polyscan.preprocess.atlas.atlas_brain_mask`), ``"hd-bet"`` (Isensee et al., HBM 40,
            2019) or ``"synthstrip"`` (Hoopes et al., NeuroImage 260, 2022).

    Returns:
        (x, y, z) bool.

    Raises:
        PolyscanError: unknown tool, it is not installed, or it failed.
    """
    if tool == "atlas":
        return atlas_brain_mask(image)
    if tool not in _TOOLS:
        raise PolyscanError(f"Brain mask {tool!r} is not known; use atlas, {', '.join(_TOOLS)}.")
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "scan.nii.gz", Path(folder) / "mask.nii.gz"
        opening, middle, closing = (words.split() for words in _TOOLS[tool])
        command = [*opening, str(source), *middle, str(out), *closing]
        if shutil.which(command[0]) is None:
            raise PolyscanError(f"{command[0]} is not installed; install it, or name a mask in the manifest.")
        write_nifti(source, without_gaps(image))
        ran = subprocess.run(command, capture_output=True, check=False)
        written = sorted(Path(folder).glob("*mask*.nii.gz")) or sorted(Path(folder).glob("*bet*.nii.gz"))
        if ran.returncode or not written:
            raise PolyscanError(f"{command[0]} failed with exit status {ran.returncode}; run it by hand to see why.")
        return read_nifti(written[0])[0].numpy() > 0.5
