"""The handlers of a recipe: averaged weights, clipped gradients, checkpoints, validation, history."""

from __future__ import annotations

import csv
import resource
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import MeanDice, from_engine
from monai.transforms import Compose, RandScaleIntensityd
from torch import nn

from polyscan.errors import PolyscanError
from polyscan.learning import (
    AveragedWeights,
    AverageHandler,
    BestWeights,
    ClipGradients,
    History,
    SeedEachEpoch,
    TrainingCheckpoint,
    Validate,
)
from polyscan.learning.checkpoint import save_whole

STUDIES = [{"image": torch.full((2,), float(k)), "label": torch.full((1,), float(k))} for k in range(6)]


class Metric:
    """What a validator finds, validation by validation."""

    def __init__(self, values):
        self.values = iter(values)

    def attach(self, engine):
        @engine.on(Events.COMPLETED)
        def _(engine):
            engine.state.metrics["quality"] = next(self.values)
            engine.state.key_metric_name = "quality"


def training(folder, metrics, *, epochs=6, interval=1, patience=99, resume=False, **options):
    """A trainer with the handlers in the order that bundles give them."""
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    averaged = AveragedWeights(network, 0.9)
    dataset = Dataset(STUDIES, Compose([RandScaleIntensityd("image", 0.5, prob=1)]))
    loader = DataLoader(dataset, batch_size=2, shuffle=True)
    best = BestWeights(averaged.module, folder)
    evaluator = SupervisedEvaluator("cpu", loader, averaged.module, val_handlers=[Metric(metrics), best])
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    validate, history = Validate(interval, evaluator, patience), History(folder, evaluator)
    state = {"network": network, "averaged": averaged, "optimizer": optimizer}
    objects = {**state, "validation": validate, "history": history, "best": best}
    handlers = [
        SeedEachEpoch(0),
        AverageHandler(averaged, network),
        validate,
        history,
        TrainingCheckpoint(folder, averaged.module, objects, 2, resume),
    ]
    return SupervisedTrainer(
        *("cpu", epochs, loader, network, optimizer, nn.MSELoss()), train_handlers=handlers, **options
    )


def weights(file):
    return torch.load(file, weights_only=True)


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()


def test_averaged_weights_are_the_formula():
    network = nn.Linear(1, 1, bias=False)
    averaged, expected = AveragedWeights(network, 0.3), None
    for n in range(5):
        network.weight.data.fill_(float(n) ** 2)
        averaged.update_parameters(network)
        decay = min(0.3, (1 + n) / (10 + n))
        expected = n**2 if expected is None else decay * expected + (1 - decay) * n**2
        assert float(averaged.module.weight) == pytest.approx(expected)
    assert not averaged.module.weight.requires_grad
    with pytest.raises(ValueError, match="expected 0 <= decay < 1"):
        AveragedWeights(network, 1.0)


def test_workers_draw_by_epoch_alone_and_each_study_anew():
    def epoch(number):
        seed(SimpleNamespace(state=SimpleNamespace(epoch=number), data_loader=loader))
        return torch.cat([batch["image"] for batch in loader])

    studies = [{"image": torch.ones(1)} for _ in range(6)]
    dataset = Dataset(studies, Compose([RandScaleIntensityd("image", 0.5, prob=1)]))
    loader, seed = DataLoader(dataset, batch_size=2, num_workers=2), SeedEachEpoch(0)
    first, second, again = epoch(1), epoch(2), epoch(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert len(first.unique()) == len(studies)


@pytest.mark.parametrize("accumulated", [1, 2])
def test_gradients_are_clipped_before_each_step_only(accumulated, tmp_path):
    trainer = training(tmp_path, [0] * 9, epochs=1, accumulation_steps=accumulated)
    norms = []

    def note(*_):
        norms.append(float(torch.cat([p.grad.flatten() for p in trainer.network.parameters()]).norm()))

    ClipGradients(trainer.network, 0.01).attach(trainer)
    trainer.optimizer.register_step_pre_hook(note)
    trainer.run()
    assert norms == pytest.approx([0.01] * (3 if accumulated == 1 else 2))


@pytest.mark.parametrize("spoiled", [1, 2])
def test_a_step_without_a_finite_gradient_is_left_out(spoiled, tmp_path, monkeypatch):
    trainer = training(tmp_path, [0] * 9, epochs=1)
    monkeypatch.setattr("polyscan.learning.gradients.LIMIT", 2)
    ClipGradients(trainer.network, 1).attach(trainer)
    weight, seen = next(trainer.network.parameters()), []

    def spoil(gradient):
        seen.append(weight.detach().clone())
        return gradient * float("nan") if len(seen) <= spoiled else gradient

    weight.register_hook(spoil)
    if spoiled == 2:
        with pytest.raises(PolyscanError, match="no gradient was finite in the last 2 steps; lower learning_rate"):
            trainer.run()
        return
    trainer.run()
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert all(p.isfinite().all() for p in trainer.network.parameters())


def test_the_best_weights_and_the_last_are_kept(tmp_path):
    training(tmp_path, [0.1, 0.7, float("nan"), 0.2, 0.3, 0.4]).run()
    (two := tmp_path / "two").mkdir()
    training(two, [0.1, 0.7, 0.0, 0.0, 0.0, 0.0], epochs=2).run()
    assert same(weights(tmp_path / "model.pt"), weights(two / "last.pt"))
    assert not same(weights(tmp_path / "model.pt"), weights(tmp_path / "last.pt"))


def test_where_the_metric_is_never_defined_the_last_weights_are_the_best(tmp_path):
    training(tmp_path, [float("nan")] * 6).run()
    assert same(weights(tmp_path / "model.pt"), weights(tmp_path / "last.pt"))


def test_the_last_epoch_is_validated_whatever_the_interval(tmp_path):
    training(tmp_path, [0.1, 0.2], interval=4).run()
    rows = list(csv.DictReader((tmp_path / "training.csv").open()))
    assert [row["quality"] for row in rows] == ["", "", "", "0.1", "", "0.2"]
    assert (tmp_path / "training.png").stat().st_size > 1000


def test_training_ends_where_patience_does_and_is_then_over(tmp_path):
    trainer = training(tmp_path, [0.5, 0.4, 0.3, 0.9, 0.9, 0.9], patience=2)
    trainer.run()
    assert trainer.state.epoch == 3
    again = training(tmp_path, [0.9] * 6, patience=2, resume=True)
    again.run()
    assert again.state.epoch == 3


@pytest.mark.parametrize("epoch", [1, 4])
def test_a_resumed_training_is_the_same(tmp_path, epoch):
    """Broken off in the middle of an epoch; every second epoch has a checkpoint."""
    metrics = [0.3, 0.6, 0.2, 0.5, 0.7, 0.1]
    (whole := tmp_path / "whole").mkdir()
    training(whole, metrics).run()
    (cut := tmp_path / "cut").mkdir()
    broken = training(cut, metrics)

    @broken.on(Events.ITERATION_COMPLETED(once=3 * epoch + 2))
    def _(engine):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.run()
    training(cut, metrics[epoch // 2 * 2 :], resume=True).run()
    for name in ("model.pt", "last.pt"):
        assert same(weights(whole / name), weights(cut / name)), name
    of_the_clock = {"seconds", "studies_per_second", "waited"}
    first, second = (
        [{k: v for k, v in row.items() if k not in of_the_clock} for row in csv.DictReader((f / "training.csv").open())]
        for f in (whole, cut)
    )
    assert first == second


def test_a_full_disk_leaves_what_was_there(tmp_path):
    save_whole({"a": torch.zeros(3)}, tmp_path / "model.pt")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(PolyscanError, match=r"be written \((its disk may be full|File too large)\); make"):
            save_whole({"a": torch.zeros(100_000)}, tmp_path / "model.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.equal(weights(tmp_path / "model.pt")["a"], torch.zeros(3))
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize(("region", "expected"), [(0.0, "nan"), (1.0, "1.0")])
def test_the_dice_of_a_validation_without_a_region_is_not_defined(tmp_path, region, expected):
    loader = DataLoader(Dataset([{"image": torch.ones(1, 4, 4), "label": torch.full((1, 4, 4), region)}]))
    network = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(network.weight, 1)
    dice = {"val_dice": MeanDice(output_transform=from_engine(["pred", "label"]))}
    evaluator = SupervisedEvaluator("cpu", loader, network, key_val_metric=dice, decollate=False)
    optimizer = torch.optim.SGD(network.parameters(), 0)
    handlers = [Validate(1, evaluator, 9), History(tmp_path, evaluator)]
    SupervisedTrainer("cpu", 1, loader, network, optimizer, nn.MSELoss(), train_handlers=handlers).run()
    (row,) = csv.DictReader((tmp_path / "training.csv").open())
    assert row["val_dice"] == expected
