"""Train one strategy on one fold, and ask it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigComponent
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from polyscan import missing
from polyscan.bundle.fusion_option import fusion_option
from polyscan.compare.protocol import DISTILLATION, Protocol, Strategy
from polyscan.learning import OneHotTasks, WithAuxiliaryLosses, WithDistillation, classification_loss
from polyscan.learning.distillation import keep_by_chance
from polyscan.learning.memory import bytes_kept
from polyscan.networks import ClassificationHead, FusionNet, UNetEncoder, VectorEncoder

HELD_OUT = 0.15
TOLERANCE = 0.03
"""Within which numbers of parameters are equal."""
LEAST_HIDDEN = 8
"""Units of a head's hidden layer: of one or a few, all may stay 0 for every study, and nothing is learnt."""

WHOLE = 0.5
"""Part of a training after which modalities are left out at the latest. Where one alone tells nothing, studies that
lack another are noise, and with half of each batch noise from the first step some networks never leave chance."""
LEARNT = 0.9
"""Part of the classes' entropy: a network whose loss on whole studies is less has begun to learn, and noise does not
stop it any more."""

ADAM_COPIES = 4
"""Weights, their gradients, and Adam's two moments."""

_AROUND = {kind.__name__: kind for kind in missing.strategies()}


class TrainedNetwork:
    """A network of a strategy, trained.

    Args:
        strategy: how it fuses.
        protocol: how it is trained.
        x, y: training studies, see :class:`polyscan.compare.Cohort`; only the strategy's modality where it has one.
        classes: how many.
        seed: of weights, order and dropout.

    Attributes:
        cost: ``parameters`` of the network; ``flops`` of one answer; ``memory`` of a step of training, in bytes: what
            the forward pass keeps for the backward one, weights, gradients and the optimiser's two moments;
            ``seconds`` of CPU time that training took.
    """

    def __init__(self, strategy: Strategy, protocol: Protocol, x: Tensor, y: Tensor, classes: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.missing = strategy.missing
        self.centre, self.scale = _standard(x)
        self.network = network_of(strategy, protocol, x.shape[1:], classes)
        x = self._inputs(x)
        start = time.process_time()
        self._train(protocol, x, y, np.random.default_rng(seed))
        seconds = time.process_time() - start
        weights = sum(p.numel() for p in self.network.parameters())
        kept = bytes_kept(copy.deepcopy(self.network).train(), x[: protocol.batch_size])
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.network(x[:1])
        self.cost = {
            "parameters": weights,
            "flops": counter.get_total_flops(),
            "memory": kept + ADAM_COPIES * weights * x.element_size(),
            "seconds": round(seconds, 2),
        }

    @torch.inference_mode()
    def probabilities(self, x: Tensor) -> NDArray[np.float32]:
        """(study, class)."""
        return self.network(self._inputs(x)).softmax(1).numpy()

    def _inputs(self, x: Tensor) -> Tensor:
        """Standardised values; what stands for missing ones as the strategy has it."""
        x = (x - self.centre) / self.scale
        if self.missing == "zero":  # as if what the scanner did not measure had been 0
            return torch.where(x.isfinite(), x, -self.centre / self.scale)
        return x.nan_to_num(0.0) if self.missing == "mean" else x

    def _train(self, protocol: Protocol, x: Tensor, y: Tensor, chance: np.random.Generator) -> None:
        order = torch.from_numpy(chance.permutation(len(x)))
        held, rest = order[: int(HELD_OUT * len(x))], order[int(HELD_OUT * len(x)) :]
        optimizer = torch.optim.AdamW(
            self.network.parameters(), protocol.learning_rate, weight_decay=protocol.weight_decay, fused=True
        )
        steps = protocol.epochs * max(1, len(rest) // protocol.batch_size)
        one_hot = OneHotTasks({"class": [str(k) for k in range(self.classes)]})
        step: WithAuxiliaryLosses = (
            WithDistillation(self.network, one_hot, classification_loss, drop=protocol.modality_dropout)
            if self.missing == DISTILLATION
            else WithAuxiliaryLosses(self.network, one_hot)
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, protocol.learning_rate, total_steps=steps)
        drops = self.missing == "dropout" or self.missing in _AROUND
        asked, told = x[held], y[held]
        if drops:  # as they are and with modalities left out: an epoch that knows only whole studies is not the best
            asked = torch.cat([asked, drop_modalities(asked, protocol.modality_dropout, chance)])
            told = torch.cat([told, told])
        entropy = float(Categorical(torch.bincount(y[rest]).float()).entropy())
        best, kept = float("inf"), copy.deepcopy(self.network.state_dict())
        learnt = False
        for epoch in range(protocol.epochs):
            step.train()
            rest = rest[torch.from_numpy(chance.permutation(len(rest)))]
            for rows in rest.split(protocol.batch_size)[: max(1, len(rest) // protocol.batch_size)]:
                batch = x[rows]
                if drops and (learnt or epoch >= WHOLE * protocol.epochs):
                    batch = drop_modalities(batch, protocol.modality_dropout, chance)
                target = y[rows, None].float()
                logits, more = step(batch, target)
                optimizer.zero_grad()
                torch.stack([classification_loss(logits, target), *more.values()]).sum().backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 12)
                optimizer.step()
                schedule.step()
            self.network.eval()
            with torch.inference_mode():
                errors = functional.cross_entropy(self.network(asked), told, reduction="none")
            learnt = learnt or bool(errors[: len(held)].mean() < LEARNT * entropy)
            error = float(errors.mean())
            if error < best:
                best, kept = error, copy.deepcopy(self.network.state_dict())
        self.network.load_state_dict(kept)

    @property
    def classes(self) -> int:
        """How many the network tells."""
        return len(self.network.outputs)


def network_of(strategy: Strategy, protocol: Protocol, shape: torch.Size, classes: int) -> FusionNet:
    """The network of a strategy whose number of parameters is nearest to the protocol's.

    Args:
        strategy: where and how it fuses, and how it reads vectors.
        protocol: ``parameters``, ``dropout``.
        shape: (modality, value) of a study, or (modality, x, y).
        classes: how many.
    """
    layer: Any = ConfigComponent(fusion_option(strategy.fusion)).instantiate()
    if strategy.missing in _AROUND:
        layer = partial(_AROUND[strategy.missing], fusion=layer)
    fuse_at: Any = strategy.fuse_at if isinstance(strategy.fuse_at, str) else list(strategy.fuse_at)
    dense = len(shape) == 2 and strategy.encoder == "dense"
    encoder: Any = partial(VectorEncoder, size=shape[1]) if dense else partial(UNetEncoder, norm="batch")

    def make(width: int, hidden: int) -> FusionNet:
        return FusionNet(
            [str(m) for m in range(shape[0])],
            partial(encoder, channels=(width, width)),
            fuse_at,
            layer,
            partial(
                ClassificationHead,
                out_channels=classes,
                pool="maximum",  # over places, of which a vector that is read densely has one
                hidden=hidden,
                dropout=protocol.dropout,
                outputs=[str(k) for k in range(classes)],
            ),
            spatial_dims=len(shape) - 1,
            input_channels=shape[0] if fuse_at == "input" else None,  # as many as are joined: nothing is lost
        )

    def count(width: int, hidden: int) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in make(width, hidden).parameters())

    return make(*_sizes(count, protocol.parameters))


def _sizes(count: Callable[[int, int], int], wanted: int) -> tuple[int, int]:
    """Width of the encoders and of the head's hidden layer: near each other where the number of parameters fits."""
    found = []
    width = 8
    while (least := count(width, LEAST_HIDDEN)) <= wanted or width == 8:
        a_unit = count(width, LEAST_HIDDEN + 1) - least
        hidden = LEAST_HIDDEN + max(0, round((wanted - least) / a_unit))
        error = abs(count(width, hidden) - wanted) / wanted
        found.append((max(error, TOLERANCE), abs(math.log(hidden / width)), width, hidden))
        width += 8
    _, _, width, hidden = min(found)
    return width, hidden


def drop_modalities(x: Tensor, prob: float, chance: np.random.Generator) -> Tensor:
    """Make each modality (study, modality, *shape) absent with a probability; one that is there is always kept.

    ModDrop (Neverova et al., TPAMI 2016), as :class:`polyscan.transforms.RandModalityDropoutd` does.
    """
    present = x.isfinite().flatten(2).any(2)
    kept = keep_by_chance(present, torch.from_numpy(chance.random(tuple(present.shape))), prob)
    return x.masked_fill(~kept.reshape(*kept.shape, *[1] * (x.dim() - 2)), float("nan"))


def _standard(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of what was recorded; 0 and 1 where nothing varies.

    Args:
        x: (study, modality, value), each value of its own kind, or (study, modality, x, y), all pixels of one kind.

    Returns:
        (modality, value) or (modality, 1, 1).
    """
    over = [0, *range(2, x.dim())] if x.dim() > 3 else [0]
    count = x.isfinite().sum(over, keepdim=True).clamp(min=1)
    mean = x.nan_to_num(0.0).sum(over, keepdim=True) / count
    deviation = (((x - mean).nan_to_num(0.0) ** 2).sum(over, keepdim=True) / count).sqrt()
    return mean[0], torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))[0]
