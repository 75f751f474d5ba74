"""What training needs beyond a supervised loss."""

from polyscan.learning.modality_dropout import RandModalityDropoutd

__all__ = ["RandModalityDropoutd"]
