"""Where in the scans an answer comes from, and whether that can be believed."""

from polyscan.attribution.by_cohort import tsne_map, umap_map, utilisation
from polyscan.attribution.by_place import METHODS, explain_region, find_method, share_of_modalities
from polyscan.attribution.curves import area_under_curve, deletion_curve, insertion_curve
from polyscan.attribution.grad_cam import grad_cam
from polyscan.attribution.integrated_gradients import integrated_gradients
from polyscan.attribution.occlusion import occlusion
from polyscan.attribution.randomisation import cascading_randomisation
from polyscan.attribution.target import Target

__all__ = [
    "METHODS",
    "Target",
    "area_under_curve",
    "cascading_randomisation",
    "deletion_curve",
    "explain_region",
    "find_method",
    "grad_cam",
    "insertion_curve",
    "integrated_gradients",
    "occlusion",
    "share_of_modalities",
    "tsne_map",
    "umap_map",
    "utilisation",
]
