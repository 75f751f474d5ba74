"""Batch norm learns from what was measured, not from the zeros that stand for what was not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.data import MetaTensor, list_data_collate

from polyscan.fusion import Mean
from polyscan.fusion.temporal import TemporalDifference
from polyscan.networks import ClassificationHead, DRIFANet, FusionNet, MultiScaleNet, TemporalNet, UNetEncoder
from polyscan.networks.encoders import encode_available

ENCODER = partial(UNetEncoder, channels=(4, 8), norm="batch")


def fusion_net(fuse_at=(1,)):
    return FusionNet(["A", "B"], ENCODER, fuse_at, Mean, ClassificationHead, spatial_dims=2)


def multi_scale_net():
    return MultiScaleNet({"A": 0, "B": 0}, ENCODER, Mean, ClassificationHead, spatial_dims=2)


def drifa_net():
    return DRIFANet(["A", "B"], {"t": 2}, in_channels=1, widths=(4, 4, 4, 4), dropout=0.0)


NETWORKS = {
    "levels": (fusion_net, "body.encoders.1."),
    "output": (partial(fusion_net, "output"), "body.encoders.1."),
    "grids": (multi_scale_net, "branches.1."),
    "DRIFA": (drifa_net, "stems.1."),
}


def learned(kind, image):
    """Running statistics of the second modality's encoder after one step of training on (batch, 2, *spatial)."""
    torch.manual_seed(0)
    make, prefix = NETWORKS[kind]
    net = make().train()
    net([image[:, :1], image[:, 1:]] if kind == "grids" else image).sum().backward()
    assert all(p.grad is not None for name, p in net.named_parameters() if name.startswith(prefix))
    found = {name: b for name, b in net.named_buffers() if name.startswith(prefix) and "running" in name}
    assert found
    return found


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("rows", [1, 2])
def test_absent_rows_do_not_enter_the_statistics(kind, rows):
    """The second modality's are those of the rows that have it, as if the others were not in the batch."""
    image = 3 + torch.randn(5, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    image[rows:, 1] = torch.nan
    torch.testing.assert_close(learned(kind, image), learned(kind, image[:rows]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_no_row_has_teaches_nothing(kind):
    """Its encoder takes part in the step all the same, for several processes that learn together."""
    image = torch.randn(3, 2, 64, 64)
    image[:, 1] = torch.nan
    found = learned(kind, image)
    assert all((b == float("var" in name)).all() for name, b in found.items())


def test_an_absent_time_point_does_not_enter_the_statistics():
    torch.manual_seed(0)
    net, alone = TemporalNet(fusion_net(), TemporalDifference).train(), fusion_net().train()
    alone.load_state_dict(net.network.state_dict())
    image = 3 + torch.randn(3, 4, 32, 32)
    image[:, 2:] = torch.nan
    net(image)
    alone(image[:, :2])
    found, expected = ({k: b for k, b in n.named_buffers() if "encoders" in k} for n in (net.network, alone))
    torch.testing.assert_close(found, expected)


def test_rows_are_encoded_where_they_stand():
    torch.manual_seed(0)
    encoder, image = ENCODER(1, 2).train(), torch.randn(4, 1, 8, 8)
    measured = torch.tensor([False, True, False, True])
    for level, expected in zip(encode_available(encoder, image, measured), encoder(image[measured]), strict=True):
        torch.testing.assert_close(level[measured], expected)
        assert (level[~measured] == 0).all()


def test_a_batch_of_monais_loader_can_be_trained_with_rows_missing():
    """Its images are MetaTensors, with a list of as many transforms as there are rows."""
    data = [{"image": MetaTensor(torch.randn(2, 16, 16), affine=torch.eye(4))} for _ in range(3)]
    data[1]["image"][1] = torch.nan
    image = list_data_collate(data)["image"]
    net = fusion_net().train()
    net(image).sum().backward()
    assert all(p.grad is not None for p in net.body.encoders.parameters())


def test_a_lone_row_of_one_voxel_can_be_normalised():
    encoder, image = ENCODER(1, 2).train(), torch.randn(3, 1, 2, 2)
    finest, coarsest = encode_available(encoder, image, torch.tensor([False, True, False]))
    assert coarsest.shape == (3, 8, 1, 1)
    assert finest.isfinite().all()
    assert coarsest.isfinite().all()
