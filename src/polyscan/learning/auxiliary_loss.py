"""Train what stands beside the supervised loss: what the papers of fusion layers train, and the decoder's levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.engines import IterationEvents
from torch import Tensor, nn
from torch.nn import functional

from polyscan.fusion import FusionLayer
from polyscan.learning.deep_supervision import deep_logits, deep_losses
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.fusion_model import FusionModel


@dataclass(frozen=True)
class FusionCall:
    """What one fusion layer was given, and what it returned.

    Attributes:
        name: of the layer in its network.
        layer: itself.
        features, available, fused: see :meth:`polyscan.fusion.FusionLayer.auxiliary_loss`.
    """

    name: str
    layer: FusionLayer
    features: Tensor
    available: Tensor
    fused: Tensor


@contextmanager
def fusion_calls(network: nn.Module) -> Iterator[list[FusionCall]]:
    """Note what the fusion layers of a network do inside the block; outside of it nothing is kept."""
    calls: list[FusionCall] = []

    def note(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda layer, inputs, fused: calls.append(FusionCall(name, layer, inputs[0], inputs[1], fused))

    layers = {name: module for name, module in network.named_modules() if isinstance(module, FusionLayer)}
    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def auxiliary_losses(calls: Sequence[FusionCall], target: Tensor | None = None) -> dict[str, Tensor]:
    """The weighted auxiliary losses of all fusion layers.

    Args:
        calls: what they did in one pass, finest level first.
        target: (batch, region, *spatial) of 0 or 1, brought to the grid of each level by its nearest voxel, or
            (batch, class) one-hot; NaN where unknown.

    Returns:
        ``<name of the layer>.<term>`` to its weight times its value; what is trained is the supervised loss and their
        sum.

    Raises:
        ValueError: a layer returned a term that has no weight or is not one number.
    """
    losses = {}
    for call in calls:
        rows = call.features.shape[:2]
        pyramid = [other.features for other in calls if other is not call and other.features.shape[:2] == rows]
        own = on_level(target, call.features) if target is not None and len(target) == rows[0] else None
        terms = call.layer.auxiliary_loss(call.features, call.available, call.fused, own, pyramid)
        weights = call.layer.auxiliary_weights
        if odd := [term for term in terms if term not in weights or terms[term].dim()]:
            raise ValueError(
                f"loss_terms of {type(call.layer).__name__} returned {', '.join(odd)}; expected one number for "
                f"each name in AUXILIARY_WEIGHTS: {', '.join(weights)}."
            )
        losses.update({f"{call.name}.{term}": weights[term] * terms[term] for term in terms})
    return losses


def on_level(target: Tensor, features: Tensor) -> Tensor:
    """Bring a target to the grid of features (batch, modality, channel, *spatial), if it has a grid."""
    grid = features.shape[3:]
    if target.dim() != 2 + len(grid) or not grid or target.shape[2:] == grid:
        return target
    return functional.interpolate(target, size=grid, mode="nearest-exact")


class WithAuxiliaryLosses(nn.Module):
    """A network that returns its logits and, in one pass, the losses of its fusion layers and of its decoder's levels.

    And those of objectives that learn from features and answers alone, see :mod:`polyscan.objectives`.

    One module does both so that ``DistributedDataParallel``, put around it, sees every parameter that is trained.

    Args:
        network: whose weights are trained.
        one_hot: turns the target of the supervised loss into what layers take, see :func:`auxiliary_losses`; not needed
            where they are the same, as for regions.
        loss: the supervised loss; needed where a ``SegmentationHead`` has ``deep_supervision``.
        objectives: each turns a batch that is encoded into one number; its ``weight`` and its parameters are trained
            with.
    """

    def __init__(
        self,
        network: FusionModel,
        one_hot: Callable[[Tensor], Tensor] | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        objectives: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.one_hot = one_hot
        self.loss = loss
        self.objectives = nn.ModuleList(objectives)

    def forward(self, image: Any, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and losses by name, from what the network takes and, last, the target.

        All as plain tensors: the bookkeeping of a MetaTensor would take place at every operation of the network.
        """
        image, *rest, target = (plain(given) for given in (image, *inputs))
        encoded = CachedFeatures.of(self.network, image, rest)
        logits, losses = self.supervise(encoded, target)
        for objective in self.objectives:
            losses[f"objective.{type(objective).__name__}"] = objective.weight * objective(encoded)
        return logits, losses

    def supervise(self, encoded: CachedFeatures, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits, and what is trained beside their supervised loss, by name."""
        with fusion_calls(self.network) as calls, deep_logits(self.network) as deep:
            logits = encoded.logits(encoded.available)
        losses = auxiliary_losses(calls, target if self.one_hot is None else self.one_hot(target))
        return logits, losses if self.loss is None else {**losses, **deep_losses(deep, target, self.loss)}


def plain(given: Any) -> Any:
    """A tensor without metadata; what is no MetaTensor as it is."""
    return given.as_tensor() if isinstance(given, MetaTensor) else given


class AuxiliaryLossHandler:
    """Let a ``monai.engines.SupervisedTrainer`` train :class:`WithAuxiliaryLosses`.

    Its postprocessing and metrics see the logits; its loss is the supervised loss and the sum of the others. The mean
    of each over the epoch, and over processes, stands in ``engine.state.metrics`` under ``loss/<name>``, where MONAI's
    ``StatsHandler`` and TensorBoard read it.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self.split)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.share)

    def split(self, engine: Engine) -> None:
        """Put the logits where MONAI expects them."""
        output: Any = engine.state.output
        output["pred"], output["auxiliary_losses"] = output["pred"]

    def add(self, engine: Engine) -> None:
        """Add the auxiliary losses to the supervised one."""
        output: Any = engine.state.output
        losses = {"supervised": output["loss"], **output.pop("auxiliary_losses")}
        output["loss"] = torch.stack([loss.float() for loss in losses.values()]).sum()
        done = (engine.state.iteration - 1) % int(engine.state.epoch_length or 1)
        for name, loss in losses.items():
            mean = engine.state.metrics.get(f"loss/{name}", 0.0) if done else 0.0
            engine.state.metrics[f"loss/{name}"] = mean + (float(loss.detach()) - mean) / (done + 1)

    def share(self, engine: Engine) -> None:
        """Take the mean over processes, each of which saw its own studies."""
        for name in (each for each in engine.state.metrics if each.startswith("loss/")):
            total: Any = idist.all_reduce(engine.state.metrics[name])
            engine.state.metrics[name] = float(total) / idist.get_world_size()


class OneHotTasks:
    """Class indices of several tasks (batch, task), NaN where unknown, to one-hot (batch, classes of all tasks).

    Args:
        tasks: name to its classes.

    Example:
        >>> OneHotTasks({"grade": ["2", "3"], "IDH": ["no", "yes"]})(torch.tensor([[1.0, float("nan")]]))
        tensor([[0., 1., nan, nan]])
    """

    def __init__(self, tasks: Mapping[str, Sequence[str]]) -> None:
        self.sizes = [len(classes) for classes in tasks.values()]

    def __call__(self, target: Tensor) -> Tensor:
        columns = []
        for column, size in zip(target.unbind(1), self.sizes, strict=True):
            known = torch.isfinite(column).unsqueeze(1)
            hot = functional.one_hot(torch.nan_to_num(column).long(), size).to(target.dtype)
            columns.append(hot.masked_fill(~known, float("nan")))
        return torch.cat(columns, dim=1)
