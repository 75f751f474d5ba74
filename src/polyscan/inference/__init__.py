"""Questions to a trained network whose encoders run once."""

from polyscan.inference.monte_carlo import monte_carlo
from polyscan.inference.subsets import every_subset

__all__ = ["every_subset", "monte_carlo"]
