from __future__ import annotations

import pytest
import torch
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedTrainer
from monai.transforms import Compose
from torch import nn

from polyscan.transforms import ComposeWithoutMetadata, RaiseModalityDropout, RandModalityDropoutd


def absent(image: torch.Tensor) -> list[bool]:
    return torch.isnan(image).flatten(1).all(1).tolist()


def test_rate_is_as_asked_and_one_always_stays():
    drop = RandModalityDropoutd("image", prob=0.5).set_random_state(0)
    results = [absent(drop({"image": torch.ones(3, 2, 2)})["image"]) for _ in range(4000)]
    assert not any(all(result) for result in results)
    # Expected rate: 0.5 for each, less a third of the one case in eight in which all would go.
    rates = torch.tensor(results, dtype=torch.float).mean(0)
    torch.testing.assert_close(rates, torch.full((3,), 0.5 - 0.125 / 3), atol=0.03, rtol=0)


def test_absent_stays_absent_and_the_last_one_there_is_kept():
    image = torch.ones(3, 2, 2)
    image[:2] = float("nan")
    drop = RandModalityDropoutd("image", prob=0.99).set_random_state(0)
    for _ in range(50):
        assert absent(drop({"image": image})["image"]) == [True, True, False]


def test_does_not_touch_its_input_and_repeats_by_seed():
    image = torch.ones(4, 2, 2)
    draws = []
    for _ in range(2):
        drop = RandModalityDropoutd("image", prob=0.5).set_random_state(7)
        draws.append([absent(drop({"image": image})["image"]) for _ in range(20)])
    assert draws[0] == draws[1]
    assert image.isfinite().all()


def test_probability_of_one_is_refused():
    with pytest.raises(ValueError, match="prob is 1"):
        RandModalityDropoutd("image", prob=1)


def test_the_channels_of_a_modality_go_together():
    drop = RandModalityDropoutd("image", prob=0.5, channels=3).set_random_state(0)
    seen = set()
    for _ in range(40):
        there = torch.isfinite(drop({"image": torch.ones(6, 4, 4)})["image"]).flatten(1).all(1).tolist()
        assert there[:3] in ([True] * 3, [False] * 3)
        assert there[3:] in ([True] * 3, [False] * 3)
        seen.add(tuple(there))
    assert len(seen) == 3, "never both"


@pytest.mark.parametrize(
    ("rise", "workers", "expected"),
    [(0.5, 0, [0, 0.3, 0.6, 0.6]), (0.5, 1, [0, 0.3, 0.6, 0.6]), (0, 0, [0.6] * 4)],
)
def test_rates_rise_over_the_first_epochs_of_a_training(rise, workers, expected):
    drop = RandModalityDropoutd("image", prob=0.6).set_random_state(0)
    items = [{"image": torch.ones(8, 2), "label": torch.ones(1)} for _ in range(100)]
    data = CacheDataset(items, Compose([ComposeWithoutMetadata([drop])]), progress=False)
    network, seen = nn.Linear(2, 1), []

    class Noting(nn.Module):
        def forward(self, image):
            seen.append(image.isnan().all(2).float().mean().item())
            return network(image.nan_to_num()).mean(1)

    trainer = SupervisedTrainer(
        *("cpu", 4, DataLoader(data, batch_size=100, num_workers=workers), Noting()),
        *(torch.optim.SGD(network.parameters(), 0.1), nn.MSELoss()),
        train_handlers=[RaiseModalityDropout(rise)],
    )
    trainer.run()
    assert seen == pytest.approx(expected, abs=0.06)
