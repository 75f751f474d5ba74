from polyscan.fusion.output.base import OutputRule as OutputRule
from polyscan.fusion.output.bayes import BayesianProduct as BayesianProduct
from polyscan.fusion.output.evidential import DempsterShafer as DempsterShafer, Evidential as Evidential
from polyscan.fusion.output.pools import (
    LogarithmicPool as LogarithmicPool,
    MajorityVote as MajorityVote,
    MaximumConfidence as MaximumConfidence,
    MeanProbability as MeanProbability,
)
from polyscan.fusion.output.precision import PrecisionWeighted as PrecisionWeighted
