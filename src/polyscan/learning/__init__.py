"""What training needs beyond a supervised loss."""

from polyscan.learning.modality_dropout import RandModalityDropoutd
from polyscan.learning.scanner_variation import RandScannerd

__all__ = ["RandModalityDropoutd", "RandScannerd"]
