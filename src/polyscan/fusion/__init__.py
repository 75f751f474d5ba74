"""How modalities are joined: one layer a file, all with one signature."""

from polyscan.fusion.attention_weighted import AttentionWeighted
from polyscan.fusion.base import FusionLayer
from polyscan.fusion.concatenation import Concatenation
from polyscan.fusion.mean import Mean

__all__ = ["AttentionWeighted", "Concatenation", "FusionLayer", "Mean", "layers"]


def layers() -> list[type[FusionLayer]]:
    """Every fusion layer of this package, in alphabetical order."""
    return [AttentionWeighted, Concatenation, Mean]
