"""Two translators that learn from scans of which no two are of one patient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn
from torch.nn import functional

from polyscan.translation.generator import ResNetGenerator
from polyscan.translation.structure import mind

_POOL = 50


class ImagePool(nn.Module):
    """The translations of before, of which half are shown to a discriminator in place of new ones.

    As in CycleGAN (section 4), after Shrivastava et al., CVPR 2017. It is part of the state that a training goes on
    with.

    Args:
        shape: of one image, without batch.
    """

    images: Tensor
    count: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(_POOL, *shape))
        self.register_buffer("count", torch.tensor(0))

    def exchange(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images of which some are older ones, in whose place the new ones are kept."""
        chosen = images.clone()
        for row, image in enumerate(images):
            held = int(self.count)
            if held < _POOL:
                self.images[held] = image
                self.count += 1
            elif torch.rand((), generator=generator) < 0.5:
                old = int(torch.randint(held, (), generator=generator))
                chosen[row], self.images[old] = self.images[old].clone(), image
        return chosen


class CycleGAN(nn.Module):
    """Translate scans of kind A to kind B and back (Zhu et al., ICCV 2017), with a loss of structure.

    The structure of a translation is held to that of its source by the distance of their descriptors :func:`mind`, as
    in Yang et al., IEEE TMI 39, 2020: without it a network may move or make tissue, as long as it can undo that.

    Args:
        window: voxels of the images that it learns from, along 2 or 3 axes.
        channels, blocks: see :class:`ResNetGenerator`.
        cycle_weight: of the L1 distance of an image that went there and back.
        identity_weight: of the L1 distance of an image that was of the wanted kind already; half of
            ``cycle_weight`` in the paper.
        structure_weight: of the L1 distance of descriptors.

    Attributes:
        forth, back: the generators.
    """

    def __init__(
        self,
        window: Sequence[int],
        *,
        channels: int = 32,
        blocks: int = 6,
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        structure_weight: float = 5.0,
    ) -> None:
        super().__init__()
        dims = len(window)
        self.forth, self.back = (ResNetGenerator(dims, channels, blocks) for _ in range(2))
        self.judges = nn.ModuleDict(
            {side: PatchDiscriminator(dims, channels, 1, num_layers_d=2, norm="INSTANCE") for side in "ab"}
        )
        self.pools = nn.ModuleDict({side: ImagePool((1, *window)) for side in "ab"})
        self.weights = {
            "adversarial": 1.0,
            "cycle": cycle_weight,
            "identity": identity_weight,
            "structure": structure_weight,
        }
        self.adversarial = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)

    def generator_losses(self, a: Tensor, b: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms that the generators learn from, weighted, and what they made.

        Args:
            a: (batch, 1, *window) from -1 to 1, of kind A.
            b: as many of kind B, of whichever patients.

        Returns:
            Term to its weighted sum over both ways; ``"a"`` and ``"b"`` to the translations of that kind.
        """
        made = {"a": self.back(b), "b": self.forth(a)}
        terms = {
            "adversarial": self._judged("a", made["a"], real=True, generator=True)
            + self._judged("b", made["b"], real=True, generator=True),
            "cycle": functional.l1_loss(self.back(made["b"]), a) + functional.l1_loss(self.forth(made["a"]), b),
            "identity": functional.l1_loss(self.back(a), a) + functional.l1_loss(self.forth(b), b),
            "structure": functional.l1_loss(mind(made["b"]), mind(a)) + functional.l1_loss(mind(made["a"]), mind(b)),
        }
        return {name: self.weights[name] * term for name, term in terms.items()}, made

    def discriminator_loss(self, a: Tensor, b: Tensor, made: dict[str, Tensor], draws: torch.Generator) -> Tensor:
        """What the discriminators learn from: real scans against translations, some of them older ones.

        Args:
            a: see :meth:`generator_losses`.
            b: likewise.
            made: its translations.
            draws: chance, on the CPU.
        """
        losses = []
        for side, real in (("a", a), ("b", b)):
            pool = self.pools[side]
            assert isinstance(pool, ImagePool)
            shown = pool.exchange(made[side].detach(), draws)
            losses += [self._judged(side, real, real=True), self._judged(side, shown, real=False)]
        return torch.stack(losses).sum() / 2

    def _judged(self, side: str, image: Tensor, *, real: bool, generator: bool = False) -> Tensor:
        found = self.adversarial(self.judges[side](image)[-1], target_is_real=real, for_discriminator=not generator)
        assert isinstance(found, Tensor)
        return found
