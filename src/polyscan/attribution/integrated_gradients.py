"""Integrated gradients for each modality."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.utils import eval_mode
from torch import Tensor

from polyscan.attribution.by_modality import of_each_modality
from polyscan.attribution.target import Target
from polyscan.networks import FusionModel


def integrated_gradients(
    network: FusionModel,
    image: Tensor,
    target: Target,
    inputs: Sequence[Tensor] = (),
    *,
    steps: int = 16,
    draws: int = 4,
    batch_size: int = 4,
) -> Tensor:
    """What each voxel adds to the target, from an image without places to this one.

    IG_i = (x_i - x'_i) times the integral over t from 0 to 1 of dF/dx_i (x' + t (x - x')) (Sundararajan et al., ICML
    2017, equation 1), by Captum with Gauss-Legendre quadrature. They sum to F(x) - F(x') (completeness), as far as the
    steps are enough; the same modalities are available along the whole path.

    The baseline x' is each modality with its measured voxels shuffled, the same intensities at no place, and maps are
    means over draws of it, as those of expected gradients are over references (Erion et al., Nature Machine
    Intelligence 3, 2021). An empty or a constant image, the usual choice, is none here: behind instance normalisation
    all images t x are the same, so that F jumps near t = 0 where no step sees it, and completeness is lost.

    Args:
        network: any.
        image: one study, (1, modality, *spatial), NaN where nothing was measured.
        target: what is explained.
        inputs: what the network takes behind the image; they stay as they are.
        steps: of the quadrature.
        draws: of the baseline, with fixed seeds.
        batch_size: steps at a time.

    Returns:
        (1, modality, *spatial): above 0 what speaks for the target; exactly 0 where nothing was measured.
    """
    from captum.attr import IntegratedGradients

    absent = ~image.isfinite()

    def explained(images: Tensor) -> Tensor:
        rest = [each.expand(len(images), *each.shape[1:]) for each in inputs]
        return target(network(images.masked_fill(absent, torch.nan), *rest))

    filled, total = image.masked_fill(absent, 0.0), torch.zeros_like(image)
    with eval_mode(network), torch.enable_grad():
        gradients = IntegratedGradients(explained, multiply_by_inputs=True)
        for seed in range(draws):
            baseline = shuffled(image, seed).masked_fill(absent, 0.0)
            found = gradients.attribute(filled, baseline, n_steps=steps, internal_batch_size=batch_size)
            total += found.detach().to(image.dtype) / draws
    return of_each_modality(total, network)


def shuffled(image: Tensor, seed: int) -> Tensor:
    """A copy of (1, channel, *spatial) in which the values of each channel have changed places; NaN stays."""
    generator, found = torch.Generator().manual_seed(seed), image.clone()
    for channel in found[0]:
        finite = channel.isfinite()
        values = channel[finite]
        channel[finite] = values[torch.randperm(len(values), generator=generator).to(values.device)]
    return found
