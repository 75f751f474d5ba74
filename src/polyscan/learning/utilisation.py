"""How much each modality tells a network while it is trained, and a brake on the one that silences the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import Tensor, nn

from polyscan.learning.auxiliary_loss import plain
from polyscan.learning.gradients import steps_now
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.encoders import EncoderEach, frozen_statistics
from polyscan.networks.fusion_model import FusionModel


class Utilisation:
    """Measure what each modality tells by itself, and slow down the encoder of one that tells more than the others.

    On-the-fly gradient modulation with generalisation enhancement, OGM-GE (Peng et al., Balanced multimodal learning
    via on-the-fly gradient modulation, CVPR 2022). A modality's score s_m is exp(-loss) of the answer from
    it alone, which for cross-entropy is the probability of the true class; rho_m = s_m / mean of the others; where
    rho_m > 1 the gradient of its encoder is multiplied by 1 - tanh(alpha rho_m), and noise with the gradient's own
    standard deviation is added. The paper has two modalities; this mean is an extension to more.

    ``engine.state.metrics`` holds the last scores of the epoch as ``utilisation/<modality>``.

    Args:
        network: that is trained.
        loss: the supervised one, ``loss(logits, target)``.
        interval: steps from one measurement to the next; each costs a pass a modality behind the encoders.
        alpha: how hard the brake is; 0: scores are measured only.

    Raises:
        ValueError: ``alpha`` is above 0 and the network has no encoder for each modality.
    """

    def __init__(
        self, network: FusionModel, loss: Callable[[Tensor, Tensor], Tensor], interval: int, alpha: float = 0.0
    ) -> None:
        found = [m for m in network.modules() if isinstance(m, EncoderEach) and len(m) == len(network.modalities)]
        if alpha > 0 and not found:
            raise ValueError("modulation needs an encoder for each modality; this network shares what encodes them.")
        self.network, self.loss, self.interval, self.alpha = network, loss, interval, alpha
        self.encoders: list[nn.Module] = list(found[0]) if found else []
        self.coefficients = [1.0] * len(network.modalities)

    def attach(self, engine: Engine) -> None:
        """Attach to a ``monai.engines.SupervisedTrainer``, before what clips its gradients."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.forget)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def forget(self, engine: Any) -> None:
        """Take the scores of the epoch before away: an epoch tells what was measured in it."""
        for name in self.network.modalities:
            engine.state.metrics.pop(f"utilisation/{name}", None)

    def __call__(self, engine: Any) -> None:
        """Measure where it is due, and modulate where a step follows."""
        if (engine.state.iteration - 1) % self.interval == 0:
            image, target, rest, _ = engine.prepare_batch(
                engine.state.batch, engine.state.device, engine.non_blocking, **engine.to_kwargs
            )
            total: Any = idist.all_reduce(self.scores(image, target, rest[:-1]))
            scores = total / idist.get_world_size()
            self.coefficients = coefficients(scores, self.alpha)
            for name, score in zip(self.network.modalities, scores.tolist(), strict=True):
                engine.state.metrics[f"utilisation/{name}"] = score
        if self.alpha > 0 and steps_now(engine):
            for encoder, coefficient in zip(self.encoders, self.coefficients, strict=True):
                if coefficient < 1:
                    modulate(encoder, coefficient)

    @torch.no_grad()
    def scores(self, image: Tensor, target: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        """(modality) exp(-loss) of each modality alone, over the rows that have it and a label; 0 where none has."""
        scores = torch.zeros(len(self.network.modalities), device=target.device)
        with frozen_statistics(self.network):
            image, target, *rest = map(plain, (image, target, *inputs))
            encoded = CachedFeatures.of(self.network, image, rest)
            known = torch.isfinite(target).flatten(1).any(1)
            for m in range(len(scores)):
                rows = encoded.available[:, m] & known
                if not bool(rows.any()):
                    continue
                alone = torch.zeros_like(encoded.available)
                alone[:, m] = True
                scores[m] = torch.exp(-self.loss(encoded.logits(alone)[rows], target[rows]))
        return scores

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"coefficients": self.coefficients}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up :meth:`state_dict`."""
        self.coefficients = list(state["coefficients"])


def coefficients(scores: Tensor, alpha: float) -> list[float]:
    """By what the gradient of each modality's encoder is multiplied; modalities without a score are not compared."""
    known = scores > 0
    found = []
    for m, score in enumerate(scores.tolist()):
        others = scores[known & (torch.arange(len(scores), device=scores.device) != m)]
        rho = score / float(others.mean()) if len(others) else 1.0
        found.append(1 - float(torch.tanh(torch.tensor(alpha * rho))) if rho > 1 else 1.0)
    return found


def modulate(encoder: nn.Module, coefficient: float) -> None:
    """Multiply the gradients of convolutions by a number, and add noise with their standard deviation."""
    for parameter in encoder.parameters():
        if parameter.grad is not None and parameter.dim() > 1:
            noise = torch.randn_like(parameter.grad) * parameter.grad.std(correction=0)
            parameter.grad.mul_(coefficient).add_(noise)
