"""Networks beside FusionNet: native grids, tables, DRIFA-Net."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from polyscan import networks
from polyscan.fusion import AttentionWeighted
from polyscan.fusion.drifa import MultiBranchFusionAttention, MultimodalInformationFusionAttention
from polyscan.fusion.table import DAFT, TableTokens, VectorToken, layers as table_layers
from polyscan.fusion.temporal import TemporalAttention, TemporalConcatenation, TemporalDifference
from polyscan.networks import DRIFANet, FusionNet, MultiScaleNet, PackedScales, TableNet, TemporalNet

NAN = float("nan")
ENCODER = partial(networks.UNetEncoder, channels=(4, 6, 8), norm=("group", {"num_groups": 2}))
SEGMENT = partial(networks.SegmentationHead, width=(4, 6), out_channels=2, norm=("group", {"num_groups": 2}))


def multi_scale(head=SEGMENT):
    torch.manual_seed(0)
    return MultiScaleNet({"PET": 2, "CT": 0, "MR": 1}, ENCODER, AttentionWeighted, head).eval()


def test_each_modality_enters_on_its_own_grid():
    net, images = multi_scale(), [torch.randn(2, 1, *size) for size in ((4, 5, 4), (16, 18, 15), (9, 8, 8))]
    out = net(images)
    assert out.shape == (2, 2, 16, 18, 15)
    for m in range(3):
        other = [image.clone() for image in images]
        other[m][0] += torch.randn_like(other[m][0])
        assert not torch.allclose(net(other)[0], out[0]), "every modality must count"
        torch.testing.assert_close(net(other)[1], out[1], rtol=1e-4, atol=1e-5)
    assert multi_scale(networks.ClassificationHead)(images).shape == (2, 2)


@pytest.mark.parametrize("absent", [[0], [1], [2], [0, 1], [1, 2]])
def test_absent_modalities_take_no_part_even_the_finest(absent):
    net, images = multi_scale(), [torch.randn(1, 1, *size) for size in ((4, 4, 4), (16, 16, 16), (8, 8, 8))]
    results = []
    for junk in (NAN, torch.inf):
        spoiled = [torch.full_like(image, junk) if m in absent else image for m, image in enumerate(images)]
        results.append(net(spoiled))
    assert results[0].isfinite().all()
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_packed_scales_are_unpacked_without_loss():
    net, size = multi_scale(), (16, 20, 12)
    images = [torch.randn(1, 1, *(s // k for s in size)) for k in (4, 1, 2)]
    packed = [
        image.repeat_interleave(k, 2).repeat_interleave(k, 3).repeat_interleave(k, 4)
        for image, k in zip(images, (4, 1, 2), strict=True)
    ]
    torch.testing.assert_close(PackedScales(net)(torch.cat(packed, dim=1)), net(images))
    packed[0][:] = images[0][:] = NAN
    torch.testing.assert_close(PackedScales(net)(torch.cat(packed, dim=1)), net(images))


def test_levels_that_cannot_be_entered_are_refused():
    for enters in ({"CT": 1, "PET": 2}, {"CT": 0, "PET": 3}, {"CT": 0, "PET": -1}):
        with pytest.raises(ValueError, match="expected levels from 0 to 2, one of them 0"):
            MultiScaleNet(enters, ENCODER, AttentionWeighted, SEGMENT)
    with pytest.raises(ValueError, match="one for each of PET, CT, MR"):
        multi_scale()([torch.randn(1, 1, 8, 8, 8)])


@pytest.mark.parametrize("fuse_at", ["input", [2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("layer", table_layers(), ids=lambda layer: layer.__name__)
def test_a_table_acts_on_the_answer(layer, fuse_at):
    torch.manual_seed(0)
    network = FusionNet(["T1", "T2"], ENCODER, fuse_at, AttentionWeighted, networks.ClassificationHead, spatial_dims=2)
    net = TableNet(network, TableTokens(2, [3]), layer).eval()
    for parameter in net.fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    image, table = torch.randn(3, 2, 16, 16), torch.tensor([[0.5, 1.0, 2.0], [NAN, 1.0, 0.0], [NAN, NAN, NAN]])
    image[1, 0] = NAN
    out = net(image, table)
    assert out.isfinite().all()
    torch.testing.assert_close(out[2:], network(image[2:]))
    torch.testing.assert_close(net(image), network(image))
    assert not torch.allclose(out[0], net(image, table.flip(0))[0])
    segment = FusionNet(["T1", "T2"], ENCODER, fuse_at, AttentionWeighted, SEGMENT, spatial_dims=2)
    assert TableNet(segment, VectorToken(5), layer)(image, torch.randn(3, 5)).shape == (3, 2, 16, 16)


def test_a_table_that_is_to_teach_is_not_read():
    network = FusionNet(["T1", "T2"], ENCODER, [2], AttentionWeighted, networks.ClassificationHead, spatial_dims=2)
    net = TableNet(network, TableTokens(2, [3]), None).eval()
    image, table = torch.randn(2, 2, 16, 16), torch.tensor([[0.5, 1.0, 2.0], [NAN, 1.0, 0.0]])
    for asked in (net, torch.jit.script(net)):
        torch.testing.assert_close(asked(image, table), network.eval()(image))


def test_a_table_needs_features():
    output = FusionNet(["T1"], ENCODER, "output", AttentionWeighted, networks.ClassificationHead, spatial_dims=2)
    with pytest.raises(ValueError, match="use the input or levels"):
        TableNet(output, TableTokens(1), DAFT)


def count(net):
    buffers = sum(b.numel() for name, b in net.named_buffers() if "num_batches" not in name)
    return sum(p.numel() for p in net.parameters()), buffers


def test_drifa_net_has_the_published_numbers():
    net = DRIFANet(["MRI", "skin"], {"tumour": 4, "lesion": 7})
    parameters, buffers = count(net)
    assert parameters + buffers == 53_883_843
    assert count(DRIFANet(["A", "B"], {"A": 5, "B": 7})) == (53_865_668, 19_200)
    assert sum(isinstance(m, MultiBranchFusionAttention) for m in net.modules()) == 48
    assert sum(isinstance(m, MultimodalInformationFusionAttention) for m in net.modules()) == 8
    assert sum(isinstance(m, torch.nn.Dropout) for m in net.modules()) == 13


@pytest.mark.parametrize("faithful", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
def test_drifa_net(faithful, dims):
    torch.manual_seed(0)
    net = DRIFANet(
        ["A", "B", "C"], {"t": 4, "u": 2}, in_channels=2, spatial_dims=dims, widths=(4, 6, 8, 8), faithful=faithful
    )
    image = torch.randn(3, 6, *[48] * dims)
    image[0, 2:4] = NAN
    net(image).square().sum().backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None]
    assert not dead
    net.eval()
    out, spoiled = net(image), image.clone()
    spoiled[0, 2:4] = torch.inf
    assert out.shape == (3, 6)
    torch.testing.assert_close(net(spoiled), out, rtol=0, atol=0)
    torch.testing.assert_close(torch.cat([net(image[i : i + 1]) for i in range(3)]), out, rtol=1e-4, atol=1e-5)
    assert {name: part.shape[1] for name, part in net.split(out).items()} == {"t": 4, "u": 2}
    other = image.clone()
    other[1, :2] += 1
    assert not torch.allclose(net(other)[1], out[1])
    with pytest.raises(ValueError, match="expected 2 for each of A, B, C"):
        net(image[:, :5])


def test_another_layer_joins_the_branches():
    torch.manual_seed(0)
    net = DRIFANet(["A", "B"], {"t": 4}, in_channels=1, widths=(4, 4, 4, 6), faithful=False, fusion=AttentionWeighted)
    image = torch.randn(2, 2, 32, 32)
    image[0, 1] = NAN
    assert net.heads["t"].in_features == 6
    assert net(image).isfinite().all()


def test_a_norm_behind_a_gate_undoes_it():
    """What the spec found of the published block: scaling its gates leaves the output as it was."""
    torch.manual_seed(0)
    net = DRIFANet(["A"], {"t": 2}, in_channels=1, widths=(4, 4, 4, 4))
    block, x = net.steps[0][0][0].train(), torch.randn(8, 4, 16, 16)
    before = block(x)
    for gate in (m for m in block.modules() if isinstance(m, MultiBranchFusionAttention)):
        gate.alpha.data *= 3
    torch.testing.assert_close(block(x), before, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("fuse_at", ["input", [2], [0, 1, 2], [0, 2]], ids=str)
@pytest.mark.parametrize("layer", [TemporalAttention, TemporalConcatenation, TemporalDifference])
def test_days_between_scans_count(layer, fuse_at):
    torch.manual_seed(0)
    network = FusionNet(["T1c", "FLAIR"], ENCODER, fuse_at, AttentionWeighted, SEGMENT, spatial_dims=2)
    net = TemporalNet(network, layer).eval()
    image, days = torch.randn(2, 4, 16, 16), torch.tensor([[0.0, 84.0], [10.0, 31.0]])
    image[0, 3], image[1, :2] = NAN, NAN
    out = net(image, days)
    assert out.shape == (2, 2, 16, 16)
    assert out.isfinite().all()
    later = net(image, days + torch.tensor([[0.0, 400.0]]))
    assert not torch.allclose(later[0], out[0]), "days must count"
    torch.testing.assert_close(later[1], out[1])  # one time alone has no days between
    torch.testing.assert_close(net(image, torch.tensor([[0.0, 1.0]] * 2)), net(image))
    torch.testing.assert_close(net(image, torch.tensor([[0.0, NAN]] * 2)), net(image))
    swapped = net(image[:, [1, 0, 3, 2]], days)
    assert not torch.allclose(swapped[0], out[0]), "the modalities of a time must not be mixed up"


def test_times_alike_are_read_alike():
    torch.manual_seed(0)
    network = FusionNet(["T1c", "FLAIR"], ENCODER, [2], AttentionWeighted, networks.ClassificationHead, spatial_dims=2)
    net, scan = TemporalNet(network, TemporalAttention, times=3).eval(), torch.randn(1, 2, 16, 16)
    alone = torch.full((1, 6, 16, 16), NAN)
    alone[:, 2:4] = scan
    first = torch.full((1, 6, 16, 16), NAN)
    first[:, :2] = scan
    torch.testing.assert_close(net(alone), net(first))


def test_times_are_joined_by_features():
    network = FusionNet(["A"], ENCODER, "output", AttentionWeighted, networks.ClassificationHead, spatial_dims=2)
    with pytest.raises(ValueError, match="fuses at the output"):
        TemporalNet(network, TemporalAttention)
    network = FusionNet(["A"], ENCODER, [2], AttentionWeighted, networks.ClassificationHead, spatial_dims=2)
    with pytest.raises(ValueError, match="expected 1 for each of 2 times"):
        TemporalNet(network, TemporalAttention)(torch.randn(1, 3, 16, 16))
