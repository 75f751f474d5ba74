"""Output fusion: rules that join the answers of several members, whichever of them have answered."""

from polyscan.fusion.output.base import OutputRule
from polyscan.fusion.output.bayes import BayesianProduct
from polyscan.fusion.output.evidential import DempsterShafer, Evidential
from polyscan.fusion.output.late import Decision, LateFusion
from polyscan.fusion.output.pools import LogarithmicPool, MajorityVote, MaximumConfidence, MeanProbability
from polyscan.fusion.output.precision import PrecisionWeighted
from polyscan.fusion.output.stacking import Stacking

__all__ = [
    "BayesianProduct",
    "Decision",
    "DempsterShafer",
    "Evidential",
    "LateFusion",
    "LogarithmicPool",
    "MajorityVote",
    "MaximumConfidence",
    "MeanProbability",
    "OutputRule",
    "PrecisionWeighted",
    "Stacking",
]
