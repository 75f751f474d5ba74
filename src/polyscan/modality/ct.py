"""Computed tomography, in Hounsfield units; shown through the window of soft tissue."""

from polyscan.modality.base import Modality

MODALITIES = (
    Modality(
        "CT",
        "CT",
        "HU",
        "ct",
        aliases=("(?:nc|ne|ce|ld|hr|ac)?ct", "^ctac", "ctres"),
        window=(-160.0, 240.0),
        precedence=1,
    ),
)
