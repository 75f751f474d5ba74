"""Output fusion: rules that join the answers of several members, whichever of them have answered."""

from polyscan.fusion.output.base import OutputRule
from polyscan.fusion.output.bayes import BayesianProduct
from polyscan.fusion.output.evidential import DempsterShafer, Evidential
from polyscan.fusion.output.pools import LogarithmicPool, MajorityVote, MaximumConfidence, MeanProbability
from polyscan.fusion.output.precision import PrecisionWeighted

__all__ = [
    "BayesianProduct",
    "DempsterShafer",
    "Evidential",
    "LogarithmicPool",
    "MajorityVote",
    "MaximumConfidence",
    "MeanProbability",
    "OutputRule",
    "PrecisionWeighted",
]
