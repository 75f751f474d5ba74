"""What a training tells of its pace."""

from __future__ import annotations

import time

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer

from polyscan.learning.history import PACE, WAITED, History


@pytest.mark.parametrize("slow", ["reading", "network"])
def test_time_without_a_batch_is_told_from_time_at_work(tmp_path, slow):
    def wait(what: str) -> None:
        time.sleep(0.2 if what == slow else 0)

    def read(item: float) -> dict[str, torch.Tensor]:
        wait("reading")
        return {"image": torch.full((1,), item), "label": torch.ones(1)}

    class Network(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            wait("network")
            return super().forward(x)

    network = Network(1, 1)
    loader = DataLoader(Dataset([1.0, 2.0, 3.0], read), batch_size=1)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=loader,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=torch.nn.MSELoss(),
    )
    history = History(tmp_path, SupervisedEvaluator(torch.device("cpu"), loader, network))
    history.attach(trainer)
    trainer.run()
    for row in history.rows:
        assert (row[WAITED] > 0.5) == (slow == "reading")
        assert row[PACE] == pytest.approx(3 / row["seconds"], abs=2e-3 / row["seconds"] ** 2)
