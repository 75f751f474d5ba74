"""One number says how sure a mask is, and ranks masks by how good they are better than means of entropy do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import gaussian_filter

from polyscan.evaluation.regions import dice
from polyscan.inference import soft_dice_confidence
from polyscan.transforms import SoftDiceConfidenced


def blurred(generator):
    """Probabilities that are right: a ball whose edge is as unsure as a blur says; and a truth that they lead to."""
    grid = np.indices((24, 24, 24)) - generator.uniform(9, 14, (3, 1, 1, 1))
    ball = (np.linalg.norm(grid, axis=0) < generator.uniform(2, 8)).astype(float)
    p = np.clip(gaussian_filter(ball, generator.uniform(0.3, 3)) * generator.uniform(0.6, 1), 0, 1)
    return torch.from_numpy(p), torch.from_numpy(generator.random(p.shape) < p)


def test_by_hand():
    p = torch.tensor([[0.9, 0.6, 0.4, 0.1], [0.2, 0.1, 0.0, 0.3], [1.0, 1.0, 0.0, 0.0]])
    told = soft_dice_confidence(p.view(3, 4, 1, 1), p.view(3, 4, 1, 1) >= 0.5)
    torch.testing.assert_close(told[[0, 2]], torch.tensor([2 * 1.5 / (2 + 2.0), 1.0]))
    assert told[1].isnan()
    torch.testing.assert_close(soft_dice_confidence(p[:1], p[:1] >= 0.05)[0], torch.tensor(2 * 2.0 / (4 + 2.0)))
    found = SoftDiceConfidenced("pred", {"tumour": [1], "core": [2], "rim": [3]}, 0.5)({"pred": MetaTensor(p)})
    assert found["confidence"] == {"tumour": 0.75, "rim": 1.0}


def test_it_is_the_dice_that_comes_and_ranks_masks_better_than_entropies_do():
    """The area under the curve of the risk, 1 - Dice, over coverage; docs/bundles.md tells these figures.

    Of 400 masks the mean of the image ranks no better than chance, whose area is the mean risk.
    """
    generator = np.random.default_rng(0)
    truth, rules = [], {"soft Dice": [], "entropy, mean of the image": [], "entropy by marked voxel": []}
    for _ in range(400):
        p, true = blurred(generator)
        mask = p >= 0.5
        if not mask.any():
            continue
        entropy = torch.special.entr(p) + torch.special.entr(1 - p)
        truth.append(dice(mask, true))
        rules["soft Dice"].append(float(soft_dice_confidence(p[None], mask[None])[0]))
        rules["entropy, mean of the image"].append(-float(entropy.mean()))
        rules["entropy by marked voxel"].append(-float(entropy.sum() / mask.sum()))
    assert abs(np.mean(truth) - np.mean(rules["soft Dice"])) < 0.01
    risk = 1 - np.array(truth)
    covered = np.arange(1, len(risk) + 1)
    area = {name: np.mean(risk[np.argsort(-np.array(sure))].cumsum() / covered) for name, sure in rules.items()}
    best = np.mean(np.sort(risk).cumsum() / covered)
    told = [*area.values(), best, risk.mean()]
    assert told == pytest.approx([0.3055, 0.4962, 0.3067, 0.3047, 0.4972], abs=2e-3)
    assert area["soft Dice"] < area["entropy by marked voxel"] - 5e-4
