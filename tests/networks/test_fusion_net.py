"""FusionNet: the four places, absent modalities, and what it refuses."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from polyscan.fusion import AttentionWeighted, layers
from polyscan.networks import ClassificationHead, FusionNet, MultiScaleNet, SegmentationHead, SegResEncoder, UNetEncoder

PLACES = ["input", [2], [0, 1, 2], [0, 2], [1], "output"]
NAN = float("nan")


def make(fuse_at, fusion=AttentionWeighted, *, dims=3, encoder=UNetEncoder, classify=False):
    torch.manual_seed(0)
    channels = {"channels": (4, 8, 8)} if encoder is UNetEncoder else {"init_filters": 4, "blocks_down": (1, 1, 1)}
    norm = {"norm": ("group", {"num_groups": 2})}
    head = (
        partial(ClassificationHead, out_channels=6)
        if classify
        else partial(SegmentationHead, out_channels=6, width=(4, 8), **norm)
    )
    return FusionNet(
        ["T1", "CT", "PET"], partial(encoder, **channels, **norm), fuse_at, fusion, head, spatial_dims=dims
    )


EVERY_PLACE = [(AttentionWeighted, place, dims, classify) for place in PLACES for dims in (2, 3) for classify in (0, 1)]
PLACED = {"features": ([0, 1, 2], "output"), "logits": ("output",), "time points": ()}
EVERY_LAYER = [(layer, place, 2, False) for layer in layers() for place in PLACED[layer.joins]]


@pytest.mark.parametrize(("fusion", "fuse_at", "dims", "classify"), EVERY_PLACE + EVERY_LAYER)
def test_absent_modality_changes_nothing(fusion, fuse_at, dims, classify):
    net = make(fuse_at, fusion, dims=dims, classify=classify).eval()
    size = (9, 8, 10)[:dims]
    absent = torch.randn(2, 3, *size)
    absent[0, 1] = NAN
    infinite = absent.clone()
    infinite[0, 1] = torch.inf
    out = net(absent)
    assert out.shape == ((2, 6) if classify else (2, 6, *size))
    assert out.isfinite().all()
    torch.testing.assert_close(out, net(infinite), rtol=0, atol=0)
    other = absent.clone()
    other[0, 2] += 1
    assert not torch.allclose(out[0], net(other)[0]), "a modality that is there must count"


@pytest.mark.parametrize("fuse_at", PLACES, ids=str)
def test_gradient_does_not_reach_an_absent_modality(fuse_at):
    net = make(fuse_at)
    image = torch.randn(1, 3, 8, 8, 8)
    image[:, 1] = NAN
    image.requires_grad_()
    net(image).square().sum().backward()
    assert (image.grad[:, 1] == 0).all()
    assert image.grad[:, [0, 2]].abs().sum() > 0
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)


def test_segresnet_encoder_and_odd_sizes():
    for fuse_at in PLACES:
        assert make(fuse_at, encoder=SegResEncoder)(torch.randn(1, 3, 13, 11, 9)).shape == (1, 6, 13, 11, 9)


def test_partly_measured_modality_is_there():
    net, image = make([0, 1, 2]), torch.randn(1, 3, 8, 8, 8)
    image[:, 1] = NAN
    partly = image.clone()
    partly[:, 1, :4] = 0.5
    assert not torch.allclose(net(image), net(partly))


def test_nothing_measured_gives_a_finite_answer():
    assert make([2])(torch.full((1, 3, 8, 8, 8), NAN)).isfinite().all()


def test_batch_rows_that_differ():
    net, image = make([0, 1, 2]), torch.randn(3, 3, 8, 8, 8)
    image[0, 1] = NAN
    image[1, 0], image[1, 2] = NAN, NAN
    torch.testing.assert_close(net(image), torch.cat([net(image[i : i + 1]) for i in range(3)]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fuse_at", ["input", [0, 1, 2], "output"], ids=str)
def test_scripts_and_autocasts(fuse_at):
    net, image = make(fuse_at).eval(), torch.randn(1, 3, 8, 8, 8)
    image[:, 0] = NAN
    torch.testing.assert_close(torch.jit.script(net)(image), net(image))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(image).isfinite().all()


def test_deeper_levels_are_encoded_once():
    shallow, deep = (sum(p.numel() for p in make(place).parameters()) for place in ([0], [0, 1, 2]))
    assert shallow < deep


@pytest.mark.parametrize("fuse_at", ["middle", [], [0, 0], [3], 1], ids=str)
def test_place_that_is_none_is_refused(fuse_at):
    with pytest.raises(ValueError, match="fuse_at is"):
        make(fuse_at)


@pytest.mark.parametrize("part", ["encoder", "fusion", "head"])
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (torch.nn.Conv3d(1, 1, 1), "a Conv3d that is made already"),
        ({0: torch.nn.Identity()}, "a Identity that is made already"),
        ("Mean", "'Mean'"),
        (None, "None"),
    ],
    ids=["module", "by level", "name", "none"],
)
def test_a_part_that_makes_nothing_is_refused(part, given, shown):
    parts = {"encoder": UNetEncoder, "fusion": AttentionWeighted, "head": SegmentationHead, part: given}
    with pytest.raises(ValueError, match=f"{part} is {shown}; give what makes it, such as its class"):
        FusionNet(["T1", "T2"], parts["encoder"], [0], parts["fusion"], parts["head"])
    with pytest.raises(ValueError, match=f"{part} is {shown}; give what makes it"):
        MultiScaleNet({"T1": 0}, parts["encoder"], parts["fusion"], parts["head"])


def test_a_map_on_a_line_is_brought_to_its_grid():
    net = FusionNet(
        ["ECG", "PPG"], partial(UNetEncoder, stem_stride=2), [0, 1], AttentionWeighted, SegmentationHead, spatial_dims=1
    )
    assert net(torch.randn(1, 2, 64)).shape == (1, 1, 64)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="expected one for each of T1, CT, PET"):
        make([0])(torch.randn(1, 2, 8, 8, 8))
    with pytest.raises(ValueError, match="image has 4 axes; expected batch and modality, and 3 of space"):
        make([0])(torch.randn(1, 3, 8, 8))
    for names in (["T1", "T1"], "T1"):
        with pytest.raises(ValueError, match=r"a list of different names, at least one; found .*T1"):
            FusionNet(names, UNetEncoder, [0], AttentionWeighted, SegmentationHead)
    for dims in (0, 4):
        with pytest.raises(ValueError, match=f"spatial_dims is {dims}; expected 1, 2 or 3"):
            FusionNet(["T1"], UNetEncoder, [0], AttentionWeighted, SegmentationHead, spatial_dims=dims)
    with pytest.raises(ValueError, match="out_channels is 0; expected at least 1"):
        SegmentationHead((4, 8), out_channels=0)
    with pytest.raises(ValueError, match="need 2"):
        SegmentationHead((4, 8, 8), width=(4,))
