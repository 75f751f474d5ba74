"""Clinical variables, genomics and text beside scans: tokens of a table, and layers that let them act on features."""

from polyscan.fusion.find import find_classes
from polyscan.fusion.table.attention import TableAttention
from polyscan.fusion.table.base import TableFusion
from polyscan.fusion.table.counts import centred_log_ratio, gene_fractions, pearson_residuals
from polyscan.fusion.table.daft import DAFT
from polyscan.fusion.table.film import FiLM
from polyscan.fusion.table.hyper import HyperFusion
from polyscan.fusion.table.tokens import TableTokens, VectorToken

__all__ = [
    "DAFT",
    "FiLM",
    "HyperFusion",
    "TableAttention",
    "TableFusion",
    "TableTokens",
    "VectorToken",
    "centred_log_ratio",
    "gene_fractions",
    "layers",
    "pearson_residuals",
]


def layers() -> list[type[TableFusion]]:
    """Every layer by which a table acts on features, in alphabetical order."""
    return list(find_classes(__path__, __name__, TableFusion).values())
