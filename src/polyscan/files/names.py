"""What files and folders are called that one part of polyscan writes and another looks for."""

BEST = "model.pt"
"""The weights that a network answers with, in a run and in a bundle's folder ``models``."""
CALIBRATION = "calibration.json"
"""What lies beside them once a network was calibrated."""
MAPS = "_attribution"
"""What the name of a study's folder of maps ends with."""
