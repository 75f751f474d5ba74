"""``polyscan compare``: ways to fuse, trained on the same folds of one cohort beside simple ones."""

from polyscan.compare.cohort import Cohort, load_cohort
from polyscan.compare.protocol import Protocol, Strategy, read_protocol
from polyscan.compare.run import compare
from polyscan.compare.table import Row, summarise

__all__ = ["Cohort", "Protocol", "Row", "Strategy", "compare", "load_cohort", "read_protocol", "summarise"]
