"""Grad-CAM for each modality, at any level of fusion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.utils import eval_mode
from torch import Tensor

from polyscan.attribution.by_modality import where_measured
from polyscan.attribution.target import Target
from polyscan.errors import PolyscanError
from polyscan.networks import FusionModel
from polyscan.networks.fusion_model import resize


def grad_cam(
    network: FusionModel, image: Tensor, target: Target, inputs: Sequence[Tensor] = (), *, level: int | None = None
) -> Tensor:
    """Where the features of each modality, just before they are fused, raise the target.

    M_m = ReLU(sum over c of a_mc A_mc), with a_mc the mean over space of the gradient of the target by the features
    A_mc of modality m (Selvaraju et al., ICCV 2017, equations 1 and 2). A network gives these features and goes on from
    them (:class:`polyscan.networks.FusionModel`), so that its encoders run once and no hook is needed, which MONAI's
    ``GradCAM`` places on one module by name. What counts is what goes through the fusion of this level, not what the
    encoders make of these features further down. Maps are not scaled: those of modalities can be compared.

    Args:
        network: any.
        image: one study, (1, modality, *spatial), NaN where nothing was measured.
        target: what is explained.
        inputs: what the network takes behind the image.
        level: whose features, counted by their grids, 0 for the finest; the deepest where not given.

    Returns:
        (1, modality, *spatial) on the image's grid, linearly interpolated; 0 where nothing was measured.

    Raises:
        PolyscanError: there is no such level, the answer takes nothing from it, as that of a classifier that reads the
            deepest alone, or its features have no place, as those of a classifier that fuses behind its heads.
    """
    with eval_mode(network):
        features, available = network.encode(image)
        features = [each.detach().requires_grad_() for each in features]
        grids = sorted({tuple(each.shape[3:]) for each in features}, reverse=True)
        number = len(grids) - 1 if level is None else level
        if not 0 <= number < len(grids):
            raise PolyscanError(
                f"Grad-CAM was asked for level {level}; this network fuses levels 0 to {len(grids) - 1}."
            )
        if not grids[number]:
            raise PolyscanError(
                "This network joins modalities behind their heads, where features have no place, so that Grad-CAM has "
                "nothing to show; ask for occlusion or integrated-gradients."
            )
        chosen = [each for each in features if tuple(each.shape[3:]) == grids[number]]
        with torch.enable_grad():
            logits = network.head(network.fuse(features, available, *inputs), available, network.image_size(image))
            gradients = torch.autograd.grad(target(logits).sum(), chosen, allow_unused=True)
        if all(gradient is None for gradient in gradients):
            raise PolyscanError(
                f"This network's answer takes nothing from level {number} by itself; ask for another, or for gradcam, "
                "which takes the deepest."
            )
        # The members of an ensemble have a level each on one grid: their channels count as those of one level.
        maps = sum(
            torch.einsum("bmc...,bmc->bm...", own.detach(), gradient.flatten(3).mean(3))
            for own, gradient in zip(chosen, gradients, strict=True)
        )
        return where_measured(resize(torch.relu(torch.as_tensor(maps)), list(image.shape[2:])), image, network)
