"""Learn to translate from studies of which none needs to have both scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.files.digest import digest_of
from polyscan.files.tables import write_rows
from polyscan.formats.nifti import read_nifti
from polyscan.learning.checkpoint import CHECKPOINT, save_whole
from polyscan.progress import Progress, silent
from polyscan.study import Study
from polyscan.study.outputs import fingerprint
from polyscan.translation.cycle_gan import CycleGAN
from polyscan.translation.translator import NAME, Intensities, Translation, Translator

TABLE = "translator.csv"
_INTERVAL = 100  # steps from one checkpoint to the next
_HELD = 32  # volumes in memory
_LOOKED_AT = 50  # scans of either kind, for the range of their values
_PERCENTILES = 0.1, 99.9
_RATE = 2e-4
_BETAS = (0.5, 0.999)


def learn_translation(
    studies: Sequence[Study],
    translation: Translation,
    out: str | Path,
    *,
    steps: int = 2000,
    batch: int = 4,
    structure_weight: float = 5.0,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> Translator:
    """Train a :class:`CycleGAN` on windows of one modality of some studies and of the other of whichever others.

    Adam at 2e-4 (betas 0.5 and 0.999), which falls to 0 over the second half, as in Zhu et al., ICCV 2017. The same
    training that was cut short goes on from ``checkpoint.pt``, since what is drawn at a step depends on the seed and
    the step alone; one that had ended is read.

    Args:
        studies: prepared, with either modality or both.
        translation: between which.
        out: folder of ``translator.pt``, ``checkpoint.pt``, and ``translator.csv``, the mean losses of each hundred
            steps.
        steps: of the optimizer.
        batch: windows of either kind a step, all of one scan.
        structure_weight: of the loss of structure, see :class:`CycleGAN`.
        seed: of weights and draws.
        device: to train on.
        progress: told (done, total, losses) after each hundred steps.

    Raises:
        PolyscanError: fewer than two studies have one of the modalities.
    """
    files = files_to_learn_from(studies, translation)
    out = Path(out)
    made_from = digest_of(asdict(translation), steps, batch, structure_weight, seed, *map(fingerprint, files))
    if (out / NAME).is_file() and (kept := Translator.load(out / NAME)).made_from == made_from:
        return kept
    first, second = map(_intensities, files, translation.modalities)
    scales = (first, second)
    torch.manual_seed(seed)
    network = CycleGAN(
        translation.window, channels=translation.channels, blocks=translation.blocks, structure_weight=structure_weight
    ).to(device)
    training = _Training(network, steps)
    begun, rows = training.go_on(out / CHECKPOINT, made_from)
    sums: dict[str, float] = {}
    volume = lru_cache(_HELD)(lambda file, intensities: intensities.scaled(read_nifti(file).as_tensor()))
    network.train()
    for step in range(begun, steps):
        chance = np.random.default_rng([seed, step])
        a, b = (
            _windows(volume(each[chance.integers(len(each))], scale), translation.window, batch, chance).to(device)
            for each, scale in zip(files, scales, strict=True)
        )
        draws = torch.Generator().manual_seed(int(chance.integers(2**31)))
        for name, loss in training.step(a, b, draws).items():
            sums[name] = sums.get(name, 0.0) + loss
        if (step + 1) % _INTERVAL == 0 or step + 1 == steps:
            count = step + 1 - (rows[-1]["step"] if rows else 0)
            rows.append({"step": step + 1, **{name: total / count for name, total in sums.items()}})
            sums = {}
            content = {"made_from": made_from, "step": step + 1, "rows": rows, **training.state()}
            save_whole(content, out / CHECKPOINT)
            told = ", ".join(f"{name} {value:.2f}" for name, value in rows[-1].items() if name != "step")
            progress(step + 1, steps, told)
    translator = Translator(translation, scales, (network.forth.cpu(), network.back.cpu()), made_from)
    write_rows(out / TABLE, rows)
    translator.save(out / NAME)
    return translator


class _Training:
    """A network with the optimizers of its generators and of its discriminators."""

    def __init__(self, network: CycleGAN, steps: int) -> None:
        self.network = network
        generators = [*network.forth.parameters(), *network.back.parameters()]
        self.optimizers = {
            name: torch.optim.Adam(parameters, lr=_RATE, betas=_BETAS)
            for name, parameters in (("generators", generators), ("discriminators", [*network.judges.parameters()]))
        }
        self.schedules = {
            name: torch.optim.lr_scheduler.LambdaLR(each, lambda step: min(1.0, 2 * (1 - step / steps)))
            for name, each in self.optimizers.items()
        }
        schedules = {f"{name} schedule": each for name, each in self.schedules.items()}
        self._held: dict[str, Any] = {"network": network, **self.optimizers, **schedules}

    def step(self, a: Tensor, b: Tensor, draws: torch.Generator) -> dict[str, float]:
        """Learn from windows of either kind; returns the losses."""
        self.optimizers["generators"].zero_grad()
        terms, made = self.network.generator_losses(a, b)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizers["generators"].step()
        self.optimizers["discriminators"].zero_grad()
        judged = self.network.discriminator_loss(a, b, made, draws)
        judged.backward()
        self.optimizers["discriminators"].step()
        for schedule in self.schedules.values():
            schedule.step()
        return {name: float(loss.detach()) for name, loss in {**terms, "discriminator": judged}.items()}

    def state(self) -> dict[str, Any]:
        """All that it goes on from."""
        return {name: each.state_dict() for name, each in self._held.items()}

    def go_on(self, checkpoint: Path, made_from: str) -> tuple[int, list[dict[str, float]]]:
        """Take up what the same training left when it was cut short: its steps and its rows of losses; none if new."""
        found = torch.load(checkpoint, map_location="cpu", weights_only=True) if checkpoint.is_file() else {}
        if found.get("made_from") != made_from:
            return 0, []
        for name, each in self._held.items():
            each.load_state_dict(found[name])
        return found["step"], found["rows"]


def files_to_learn_from(studies: Sequence[Study], translation: Translation) -> list[list[str]]:
    """The scans of either modality.

    Raises:
        PolyscanError: there are fewer than two of either.
    """
    names = translation.modalities
    files = [[study.scans[name].path for study in studies if name in study.scans] for name in names]
    for name, found in zip(names, files, strict=True):
        if len(found) < 2:
            raise PolyscanError(
                f"{len(found)} of {len(studies)} studies to learn from have {name}; at least two are needed."
            )
    return files


def _intensities(files: Sequence[str], name: str) -> Intensities:
    """The range of almost all values of the scans, by a twentieth of the voxels of some of them.

    Raises:
        PolyscanError: they are all the same.
    """
    some = (read_nifti(file).numpy().ravel()[::20] for file in files[:: 1 + len(files) // _LOOKED_AT])
    known = [values[~np.isnan(values)] for values in some]
    low, high = np.percentile(np.concatenate(known), _PERCENTILES)
    if not high > low:
        raise PolyscanError(f"Every {name} scan has the value {low:g} everywhere; there is nothing to learn from.")
    return Intensities(float(low), float(high))


def _windows(image: Tensor, window: Sequence[int], batch: int, chance: np.random.Generator) -> Tensor:
    """Windows (batch, 1, *window) about voxels that are brighter than nothing, padded where the scan is smaller."""
    wanted = np.array([*window, *[1] * (3 - len(window))])
    lacking = np.maximum(wanted - np.array(image.shape[1:]), 0)
    padding = [int(side) for less in lacking[::-1] for side in (less // 2, less - less // 2)]
    padded = torch.nn.functional.pad(image[0], padding, value=-1)
    inside = (padded > -0.9).nonzero() if bool((padded > -0.9).any()) else torch.ones_like(padded).nonzero()
    centres = inside[torch.from_numpy(chance.integers(len(inside), size=batch))].numpy()
    first = np.clip(centres - wanted // 2, 0, np.array(padded.shape) - wanted)
    cut = [padded[tuple(slice(low, low + size) for low, size in zip(each, wanted, strict=True))] for each in first]
    stacked = torch.stack(cut)[:, None]
    return stacked[..., 0] if len(window) == 2 else stacked
