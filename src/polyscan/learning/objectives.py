"""Train fusion layers that have an objective of their own beside the supervised loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, cleared


class WithObjectives(nn.Module):
    """loss(prediction, target) + weight * sum of the objectives of the network's fusion layers.

    Layers such as ``ProductOfExperts`` (a divergence), ``GlobalLocalAlignment`` (contrast), ``SharedSpecific`` and
    ``CanonicalCorrelation`` have one. It is computed while the network runs forward in training mode, from the
    features that the layer then gets.

    Args:
        loss: of prediction and target.
        network: whose layers' objectives are added.
        weight: of the objectives.

    Raises:
        ValueError: no layer of the network has an objective.
    """

    def __init__(self, loss: nn.Module, network: nn.Module, weight: float = 0.1) -> None:
        super().__init__()
        self.loss = loss
        self.weight = weight
        self._found: dict[nn.Module, Tensor] = {}
        layers = [m for m in network.modules() if isinstance(m, FusionLayer) and hasattr(m, "objective")]
        if not layers:
            raise ValueError("no fusion layer of the network has an objective; use the loss alone.")
        for layer in layers:
            layer.register_forward_hook(self._keep)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The whole loss of what the network answered last."""
        total: Tensor = self.loss(prediction, target)
        for term in self._found.values():
            total = total + self.weight * term
        self._found.clear()
        return total

    def _keep(self, layer: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        if layer.training:
            features, available = inputs[:2]
            self._found[layer] = layer.objective(cleared(features, available), available)
