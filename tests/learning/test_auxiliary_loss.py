"""What a layer's paper trains is trained, by one explicit call, and nothing of it stays behind."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.engines import PrepareBatchExtraInput, SupervisedTrainer

from polyscan.fusion import Concatenation, FusionLayer, ProductOfExperts, SharedSpecific
from polyscan.fusion.temporal import TemporalDifference
from polyscan.learning import AuxiliaryLossHandler, OneHotTasks, WithAuxiliaryLosses, auxiliary_losses, fusion_calls
from polyscan.networks import ClassificationHead, FusionNet, SegmentationHead, TemporalNet, UNetEncoder

encoder = partial(UNetEncoder, channels=(4, 6))
segment = partial(SegmentationHead, width=(4,))


def net_of(layer, head=segment, fuse_at=(0, 1), modalities=("T1", "T2")):
    torch.manual_seed(0)
    return FusionNet(modalities, encoder, list(fuse_at), layer, head, spatial_dims=2)


class Told(FusionLayer):
    """A layer whose loss notes what it is given."""

    AUXILIARY_WEIGHTS = {"pull": 0.5}  # noqa: RUF012 - a constant of a test
    seen = []  # noqa: RUF012

    def fuse(self, features, available):
        return features.sum(1)

    def loss_terms(self, given):
        self.seen.append(given)
        return {"pull": given.fused.square().mean()}


def test_each_layer_is_given_its_level_its_output_the_target_there_and_the_other_levels():
    net, image = net_of(Told), torch.randn(2, 2, 8, 8)
    image[1, 0] = torch.nan
    target = (torch.rand(2, 3, 8, 8) > 0.5).float()
    target[0, 2] = torch.nan
    Told.seen.clear()
    with fusion_calls(net) as calls:
        net(image)
    losses = auxiliary_losses(calls, target)
    features, available = net.encode(image)
    fused = net.fuse(features, available)
    assert list(losses) == ["body.fusions.0.pull", "body.fusions.1.pull"]
    for k, (x, there, out, own, pyramid) in enumerate(Told.seen):
        torch.testing.assert_close(x, features[k])
        assert torch.equal(there, available)
        torch.testing.assert_close(out, fused[k])
        torch.testing.assert_close(losses[f"body.fusions.{k}.pull"], 0.5 * fused[k].square().mean())
        assert own.shape == (2, 3, *features[k].shape[3:])
        assert own[0, 2].isnan().all()
        assert set(own[~own.isnan()].tolist()) <= {0.0, 1.0}
        assert [p.shape for p in pyramid] == [features[1 - k].shape]


@pytest.mark.parametrize("terms", [{"push": torch.zeros(())}, {"pull": torch.zeros(2, 8)}], ids=["unknown", "a map"])
def test_a_term_without_a_weight_or_that_is_no_number_is_refused(terms, monkeypatch):
    monkeypatch.setattr(Told, "loss_terms", lambda *given: terms)
    sentence = rf"loss_terms of Told returned {next(iter(terms))}; expected one number for each name in .*: pull\."
    with fusion_calls(net := net_of(Told)) as calls:
        net(torch.randn(1, 2, 8, 8))
    with pytest.raises(ValueError, match=sentence):
        auxiliary_losses(calls)


def test_a_target_of_classes_stays_and_time_points_are_told_none():
    Told.seen.clear()
    net = TemporalNet(net_of(Told, ClassificationHead, [1]), TemporalDifference)
    with fusion_calls(net) as calls:
        net(torch.randn(2, 4, 8, 8))
    auxiliary_losses(calls, torch.eye(2))
    assert [target for _, _, _, target, _ in Told.seen] == [None], "a label of a patient is not one of a time point"
    Told.seen.clear()
    with fusion_calls(net.network) as calls:
        net.network(torch.randn(2, 2, 8, 8))
    auxiliary_losses(calls, torch.eye(2))
    assert torch.equal(Told.seen[0][3], torch.eye(2))


def test_a_forward_without_a_loss_leaks_nothing_into_the_next():
    net = net_of(ProductOfExperts).eval()
    first, second = torch.randn(2, 2, 8, 8), torch.randn(2, 2, 8, 8)
    with fusion_calls(net) as calls:
        net(second)
    alone = auxiliary_losses(calls)
    net.train()(first)
    net.eval()
    with pytest.raises(ValueError, match="expected one for each"), fusion_calls(net) as calls:
        net(torch.randn(2, 5, 8, 8))
    assert calls == []
    net(first)
    assert calls == []
    with fusion_calls(net) as calls:
        net(second)
    torch.testing.assert_close(auxiliary_losses(calls), alone, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in net.modules())


def train(layer, weights=None, steps=1):
    """One step of MONAI's trainer, as a bundle configures it."""
    net = net_of(partial(layer, auxiliary_weights=weights) if weights else layer)
    items = [{"image": torch.randn(2, 8, 8), "label": (torch.rand(1, 8, 8) > 0.5).float()} for _ in range(4)]
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(items, batch_size=2),
        network=WithAuxiliaryLosses(net),
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        loss_function=torch.nn.BCEWithLogitsLoss(),
        prepare_batch=PrepareBatchExtraInput(["label"]),
        train_handlers=[AuxiliaryLossHandler()],
    )
    trainer.run()
    moved = [name for name, p in net.named_parameters() if not torch.equal(p, before[name])]
    return trainer, moved


def test_a_network_is_trained_on_tensors_without_metadata(monkeypatch):
    net, seen = net_of(SharedSpecific), []
    encode = net.encode
    monkeypatch.setattr(net, "encode", lambda image: seen.append(type(image)) or encode(image))
    image, target = torch.randn(2, 2, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    with_metadata, _ = WithAuxiliaryLosses(net)(MetaTensor(image), MetaTensor(target))
    without, _ = WithAuxiliaryLosses(net)(image, target)
    assert seen == [torch.Tensor, torch.Tensor]
    assert type(with_metadata) is torch.Tensor
    torch.testing.assert_close(with_metadata, without, rtol=0, atol=0)


def test_monais_trainer_trains_them_unasked_and_says_how_much_each_is():
    trainer, moved = train(SharedSpecific)
    losses = {name: value for name, value in trainer.state.metrics.items() if name.startswith("loss/")}
    names = [f"loss/body.fusions.{k}.{term}" for k in (0, 1) for term in ("shared", "domain")]
    assert list(losses) == ["loss/supervised", *names]
    assert all(value > 0 for value in losses.values())
    assert {f"body.fusions.{k}.which.weight" for k in (0, 1)} <= set(moved), "only the auxiliary loss reaches these"
    assert trainer.state.output[0]["pred"].shape == (1, 8, 8), "what metrics see are logits"
    assert "auxiliary_losses" not in trainer.state.output[0]
    without, moved = train(SharedSpecific, {"shared": 0.0, "domain": 0.0})
    assert without.state.metrics["loss/body.fusions.0.domain"] == 0
    assert "body.fusions.0.which.weight" not in moved


def test_a_layer_without_one_trains_the_supervised_loss_alone():
    trainer, _ = train(Concatenation)
    assert [name for name in trainer.state.metrics if name.startswith("loss/")] == ["loss/supervised"]
    total = [item["loss"] for item in trainer.state.output]
    assert all(loss > 0 for loss in total)


def test_one_hot_of_tasks():
    nan = float("nan")
    hot = OneHotTasks({"grade": ["2", "3", "4"], "IDH": ["no", "yes"]})(torch.tensor([[2.0, nan], [nan, 0.0]]))
    expected = torch.tensor([[0, 0, 1, nan, nan], [nan, nan, nan, 1, 0]])
    torch.testing.assert_close(hot, expected, equal_nan=True)
