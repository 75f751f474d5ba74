"""Positron emission tomography, in standardised uptake values."""

from polyscan.modality.base import Modality

MODALITIES = (
    Modality(
        "PET",
        "PT",
        "SUVbw",
        "pet",
        aliases=("pet", "pt", r"suv\w*"),
        window=(0.0, 10.0),
        colours="gray_r",
        precedence=5,
    ),
)
