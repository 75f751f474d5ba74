"""What each modality tells alone, and a brake on the one that tells most."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import default_prepare_batch

from polyscan.fusion import Mean
from polyscan.learning import Utilisation, classification_loss
from polyscan.learning.utilisation import coefficients
from polyscan.networks import ClassificationHead, FusionNet, UNetEncoder


@pytest.fixture
def network():
    torch.manual_seed(0)
    encoder = partial(UNetEncoder, channels=(4, 6), norm="batch")
    return FusionNet(["A", "B"], encoder, [1], Mean, ClassificationHead, spatial_dims=2).train()


@pytest.fixture
def batch():
    image = torch.randn(6, 2, 8, 8)
    image[4:, 1] = torch.nan
    return image, torch.tensor([[0.0], [1], [0], [1], [0], [1]])


def test_a_score_is_the_probability_of_the_truth_from_one_modality(network, batch):
    image, target = batch
    before = {name: value.clone() for name, value in network.named_buffers()}
    given = set()
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    hooks = [each.register_forward_pre_hook(lambda _, inputs: given.add(type(inputs[0]))) for each in convolutions]
    found = Utilisation(network, classification_loss, 1).scores(MetaTensor(image), MetaTensor(target), ())
    assert given == {torch.Tensor}, "metadata would be kept at every operation"
    for hook in hooks:
        hook.remove()
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers()), "batch norm learnt nothing"
    network.eval()
    for m, rows in enumerate([slice(0, 6), slice(0, 4)]):
        alone = image.clone()
        alone[:, 1 - m] = torch.nan
        expected = torch.exp(-classification_loss(network(alone[rows]), target[rows]))
        torch.testing.assert_close(found[m], expected)


def test_the_brake_is_the_papers():
    (strong, weak) = coefficients(torch.tensor([0.8, 0.4]), 0.3)
    assert strong == pytest.approx(1 - math.tanh(0.3 * 2))
    assert weak == 1
    assert coefficients(torch.tensor([0.8, 0.0]), 0.3) == [1, 1], "nothing to compare with"
    assert coefficients(torch.tensor([0.9, 0.3, 0.6]), 0.5)[0] == pytest.approx(1 - math.tanh(0.5 * 2))


def step(network, batch, alpha):
    """One backward pass, and the norms of the gradients of both encoders before and after the handler."""
    image, target = batch
    handler = Utilisation(network, classification_loss, 1, alpha)
    classification_loss(network(image), target).backward()
    norms = [[float(e.stages[0].conv_0.conv.weight.grad.norm()) for e in handler.encoders]]
    state = SimpleNamespace(iteration=1, epoch_length=1, batch=batch, device="cpu", metrics={})
    prepare = lambda batch, *_, **__: (*default_prepare_batch({"image": batch[0], "label": batch[1]}), (batch[1],), {})  # noqa: E731
    handler(SimpleNamespace(state=state, prepare_batch=prepare, non_blocking=False, to_kwargs={}, accumulation_steps=1))
    norms.append([float(e.stages[0].conv_0.conv.weight.grad.norm()) for e in handler.encoders])
    return handler, state.metrics, norms


def test_the_stronger_modality_is_slowed_and_the_weaker_is_not(network, batch):
    handler, metrics, (before, after) = step(network, batch, alpha=3.0)
    assert set(metrics) == {"utilisation/A", "utilisation/B"}
    strong = 0 if metrics["utilisation/A"] > metrics["utilisation/B"] else 1
    assert handler.coefficients[strong] < 1
    assert after[strong] != before[strong]
    assert after[1 - strong] == before[1 - strong]


def test_without_a_brake_it_only_measures(network, batch):
    _, metrics, (before, after) = step(network, batch, alpha=0.0)
    assert before == after
    assert all(0 < value < 1 for value in metrics.values())


def test_a_network_that_shares_its_encoder_cannot_be_modulated():
    shared = FusionNet(["A", "B"], UNetEncoder, [1], Mean, ClassificationHead, spatial_dims=2, shared=True)
    with pytest.raises(ValueError, match="needs an encoder for each modality"):
        Utilisation(shared, classification_loss, 1, 0.3)
