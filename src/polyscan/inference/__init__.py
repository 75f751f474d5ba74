"""Questions to a trained network whose encoders run once."""

from polyscan.inference.monte_carlo import monte_carlo
from polyscan.inference.once import Once
from polyscan.inference.shapley import shapley_values
from polyscan.inference.subsets import every_subset

__all__ = ["Once", "every_subset", "monte_carlo", "shapley_values"]
