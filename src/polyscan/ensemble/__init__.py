"""Ensembles of whole studies' answers and features: what is fitted or kept outside a network."""

from polyscan.ensemble.canonical_projection import CanonicalProjection
from polyscan.ensemble.stacking import Stacking

__all__ = ["CanonicalProjection", "Stacking"]
