"""Whether a map depends on what the network has learnt: it must change when the weights are shuffled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from monai.networks.utils import eval_mode
from scipy.stats import rankdata
from torch import Tensor, nn

from polyscan.networks import FusionModel


def cascading_randomisation(
    network: FusionModel,
    explain: Callable[[FusionModel], Tensor],
    image: Tensor,
    inputs: Sequence[Tensor] = (),
    seed: int = 0,
) -> Iterator[tuple[str, float]]:
    """Shuffle the weights of one layer more each time, from the answer down, and compare the map with that before.

    Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018: cascading randomisation. The values of each parameter
    change places, so that each layer keeps their distribution. A map that stays as it was shows the image, not the
    network.

    Args:
        network: trained; it is left as it is.
        explain: gives the map of a network, (1, modality, *spatial).
        image: what the network takes first, (1, modality, *spatial).
        inputs: what it takes behind.
        seed: of the order.

    Yields:
        The layer's name, and Spearman's rank correlation of the absolute values of the maps, over what was measured; 0
        where a map is the same everywhere. The first is the network as it is: no name, and 1.
    """
    changed = copy.deepcopy(network)
    finite = image.unflatten(1, (len(network.modalities), -1)).isfinite().any(2)

    def ranks() -> Tensor:
        order = torch.as_tensor(rankdata(explain(changed)[finite].abs().detach().cpu().numpy()))
        return order - order.mean()

    before = ranks()
    yield "", 1.0
    generator = torch.Generator().manual_seed(seed)
    for name, layer in _from_the_top(changed, image, inputs):
        for parameter in layer.parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            with torch.no_grad():
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
        now = ranks()
        both = float(before.norm() * now.norm())
        yield name, float(before @ now) / both if both else 0.0


def _from_the_top(network: FusionModel, image: Tensor, inputs: Sequence[Tensor]) -> list[tuple[str, nn.Module]]:
    """Layers that have parameters of their own, the last that an image passes first."""
    names = {module: name for name, module in network.named_modules() if list(module.parameters(recurse=False))}
    passed: list[nn.Module] = []
    hooks = [module.register_forward_pre_hook(lambda module, _: passed.append(module)) for module in names]
    with eval_mode(network), torch.enable_grad():  # without, small volumes pass all encoders as one
        network(image, *inputs)
    for hook in hooks:
        hook.remove()
    return [(names[module], module) for module in reversed(list(dict.fromkeys(passed)))]
