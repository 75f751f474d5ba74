"""What was predicted, in the formats that others read."""

OBJECTS = ("seg", "labelmap", "rtstruct", "probabilities", "uncertainty", "sr", "registration")
"""What can be written as DICOM: binary and label-map segmentation, contours, parametric maps of the probability of each
region and of the entropy of the least sure one, measurement report, spatial registration."""
