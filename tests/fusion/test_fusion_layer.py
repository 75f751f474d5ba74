"""What is said of a layer of one's own that breaks the contract."""

from __future__ import annotations

import pytest
import torch

from polyscan.fusion import FusionLayer

WHOLE, THERE = torch.randn(2, 3, 4, 5, 5), torch.ones(2, 3, dtype=torch.bool)


def made(**written) -> FusionLayer:
    return type("Own", (FusionLayer,), written)(3, 4, 2)


def test_a_layer_without_fuse():
    with pytest.raises(NotImplementedError, match=r"Own is a fusion layer and must write fuse\(features, available\)"):
        made()(WHOLE, THERE)


@pytest.mark.parametrize("available", [THERE.long(), THERE.float()])
def test_availability_that_is_no_bool(available):
    with pytest.raises(ValueError, match="available is not of bool; give True where a modality is there"):
        made(fuse=lambda self, features, available: features.sum(1))(WHOLE, available)


@pytest.mark.parametrize(
    "fuse",
    [lambda x: x, lambda x: x.flatten(1, 2), lambda x: x.mean((1, 3, 4)), lambda x: x.mean(1)[..., :4]],
    ids=["modalities kept", "channels", "no space", "another grid"],
)
def test_another_shape_than_promised(fuse):
    layer = made(fuse=lambda self, features, available: fuse(features))
    with pytest.raises(ValueError, match=r"fuse returned the shape .*expected .*channel, \*spatial\): \[2, 4, 5, 5\]"):
        layer(WHOLE, THERE)


@pytest.mark.parametrize("written", [{"AUXILIARY_WEIGHTS": {"a": 0.1}}, {"loss_terms": lambda *given: {}}])
def test_a_loss_without_weights_or_weights_without_a_loss(written):
    with pytest.raises(TypeError, match="Own must write both loss_terms and AUXILIARY_WEIGHTS, or neither"):
        made(**written)
