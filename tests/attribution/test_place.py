"""Maps of Grad-CAM, occlusion and integrated gradients: against MONAI's, their axioms, and an answer that is known."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.visualize import GradCAM, OcclusionSensitivity

from polyscan.attribution.by_place import METHODS, explain_region, find_method, share_of_modalities
from polyscan.attribution.curves import area_under_curve, deletion_curve, insertion_curve
from polyscan.attribution.grad_cam import grad_cam
from polyscan.attribution.integrated_gradients import integrated_gradients, shuffled
from polyscan.attribution.occlusion import occlusion
from polyscan.attribution.randomisation import cascading_randomisation
from polyscan.attribution.target import Target
from polyscan.errors import PolyscanError
from polyscan.fusion import AttentionWeighted, Concatenation, Mean
from polyscan.fusion.table import DAFT, TableTokens
from polyscan.inference import EnsembleAverage
from polyscan.networks import (
    ClassificationHead,
    FusionModel,
    FusionNet,
    MulticlassHead,
    SegmentationHead,
    TableNet,
    UNetEncoder,
)

MODALITIES = ["A", "B", "C"]


def classifier(fuse_at, spatial_dims=2, fusion=AttentionWeighted):
    torch.manual_seed(0)
    encoder = partial(UNetEncoder, channels=(4, 8, 8))
    head = partial(MulticlassHead, tasks={"grade": ["low", "high"]})
    return FusionNet(MODALITIES, encoder, fuse_at, fusion, head, spatial_dims=spatial_dims).eval()


def segmenter(fuse_at=(0, 1, 2)):
    torch.manual_seed(0)
    encoder = partial(UNetEncoder, channels=(4, 8, 8))
    head = partial(SegmentationHead, regions=["whole", "core"], width=(4, 8))
    at = fuse_at if isinstance(fuse_at, str) else list(fuse_at)
    return FusionNet(MODALITIES, encoder, at, Mean, head).eval()


def scans(spatial_dims=2, extent=16):
    """Three modalities: one is absent, one lacks a slab."""
    image = torch.randn(1, 3, *[extent] * spatial_dims, generator=torch.Generator().manual_seed(1))
    image[:, 1] = torch.nan
    image[:, 2, :3] = torch.nan
    return image


class Spots(FusionModel):
    """The logit of its second class is the mean of modality A in one box less that of B in another."""

    def __init__(self) -> None:
        super().__init__(["A", "B"], ["no", "yes"], [1])

    def forward(self, image):
        features, available = self.encode(image)
        return self.head(self.fuse(features, available), available, self.image_size(image))

    def encode(self, image):
        return [image.nan_to_num().unsqueeze(2)], image.isfinite().flatten(2).any(2)

    def fuse(self, features, available):
        return [features[0][:, 0, :, 2:6, 2:6] - features[0][:, 1, :, 10:14, 10:14]]

    def pre_logits(self, fused):
        return fused[0].flatten(1).mean(1, keepdim=True)

    def logits(self, pre_logits, available):
        return torch.cat([torch.zeros_like(pre_logits), pre_logits], 1)

    def dropout_layers(self):
        return []


def test_grad_cam_is_that_of_monai():
    network, image = classifier([1, 2], 2, Concatenation), torch.randn(1, 3, 32, 32)
    ours = grad_cam(network, image, Target(1))
    for m in range(3):
        theirs = GradCAM(network, f"body.encoders.{m}.stages.2", postprocessing=lambda x: x)(image, 1)
        torch.testing.assert_close(ours[:, m : m + 1], torch.as_tensor(theirs), rtol=1e-4, atol=1e-7)
    with pytest.raises(PolyscanError, match="takes nothing from level 1"):
        grad_cam(network, image, Target(1), level=1)


def occlusion_by_monai(network, image, target, size):
    """Modality by modality, the whole network for every box."""
    maps = torch.zeros_like(image)
    for m in range(len(network.modalities)):

        class One(torch.nn.Module):
            def forward(self, own):
                each = image.repeat(len(own), *[1] * (image.dim() - 1))
                each[:, m : m + 1] = own  # noqa: B023
                return target(network(each))[:, None]

        hidden, _ = OcclusionSensitivity(One(), size, 8, overlap=0.5, mode=0.0, activate=False, verbose=False)(
            image[:, m : m + 1]
        )
        maps[:, m] = target(network(image)) - torch.as_tensor(hidden)[:, 0]
    return maps.masked_fill(image.isnan(), 0.0)


@pytest.mark.parametrize("fuse_at", ["input", (0, 1, 2), (2,), "output"])
def test_occlusion_is_that_of_monai(fuse_at):
    network, image = segmenter(fuse_at), scans(3)
    image[:, 0, :9] = 0.0  # as outside a mask, where to hide changes nothing
    region = torch.zeros(16, 16, 16)
    region[6:12, 5:9, 5:9] = 1 / 96
    target = Target(1, region)
    with torch.no_grad():
        theirs = occlusion_by_monai(network, image, target, [8, 8, 8])
        ours = occlusion(network, image, target, size=[8, 8, 8])
    assert float(theirs.abs().max()) > 1e-4
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("fuse_at", [(0, 1, 2), "output"])
def test_occlusion_encodes_what_it_hides_alone(fuse_at):
    """Of three modalities one is absent, and one reads 0 in half of the eight boxes."""
    network, image = segmenter(fuse_at), scans(3)
    image[:, 0, :8] = 0.0
    encode, read = network.encode, []

    def counted(each):
        read.append(each.isfinite().flatten(2).any(2).sum(0))
        return encode(each)

    network.encode = counted
    occlusion(network, image, Target(0, torch.full((16, 16, 16), 16.0**-3)), size=[8, 8, 8], overlap=0.0)
    assert torch.stack(read).sum(0).tolist() == [1 + 4, 0, 1 + 8]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("fuse_at", "spatial_dims"), [("input", 2), ([2], 2), ([2], 3), ("output", 2)])
def test_what_is_absent_gets_nothing(name, fuse_at, spatial_dims):
    network, image = classifier(fuse_at, spatial_dims), scans(spatial_dims)
    method = partial(occlusion, size=[8] * spatial_dims) if name == "occlusion" else find_method(name)
    if name == "gradcam" and fuse_at == "output":
        with pytest.raises(PolyscanError, match="ask for occlusion"):
            method(network, image, Target(1))
        return
    maps = method(network, image, Target(1))
    assert maps.shape == image.shape
    assert maps.isfinite().all()
    assert not maps[image.isnan()].any()
    assert maps[:, [0, 2]].flatten(2).any(2).all()
    assert not network.training


@pytest.mark.parametrize("fuse_at", ["input", [2], "output"])
def test_integrated_gradients_are_complete(fuse_at):
    """Though instances are normalised, so that a brighter image has the same logits."""
    network, image = classifier(fuse_at), scans()
    with torch.no_grad():
        ends = network(torch.cat([image, shuffled(image, 0)]))[:, 1]
    maps = integrated_gradients(network, image, Target(1), steps=64, draws=1, batch_size=32)
    total = float(maps.abs().sum())  # of values that nearly cancel in a network that was not trained
    assert float(maps.sum()) == pytest.approx(float(ends[0] - ends[1]), abs=0.02 * total)
    assert total > 0.01
    assert not torch.equal(maps, integrated_gradients(network, image, Target(1), steps=2, draws=2))


@pytest.mark.parametrize("name", METHODS)
def test_maps_lie_where_the_answer_comes_from(name):
    generator = torch.Generator().manual_seed(0)
    image = 0.1 * torch.randn(1, 2, 16, 16, generator=generator)
    image[0, 0, 2:6, 2:6] += 1
    image[0, 1, 10:14, 10:14] += 1
    maps = find_method(name)(Spots(), image, Target(1))
    box = (slice(0, 1), slice(2, 6), slice(2, 6))
    if name == "gradcam":  # its features are the image itself, and their gradient is one number a modality
        assert float(maps.max()) == float(maps[:, 0][box].max())
        assert float(maps[:, 0].sum() / maps.sum()) > 0.6
        return
    if name == "integrated-gradients":
        ends = Spots()(torch.cat([image, *(shuffled(image, seed) for seed in range(4))]))[:, 1]
        assert float(maps.sum()) == pytest.approx(float(ends[0] - ends[1:].mean()), rel=1e-4)
    assert float(maps[:, 0][box].sum() / maps[:, 0].abs().sum()) > (0.999 if "gradients" in name else 0.4)
    assert float(maps[0, 0, 10:14, 10:14].abs().sum()) == pytest.approx(0, abs=1e-6)
    assert float(maps[0, 1, 10:14, 10:14].sum()) < 0
    torch.testing.assert_close(share_of_modalities(maps[0]), torch.tensor([0.5, 0.5]), rtol=0, atol=0.05)


def test_deletion_falls_and_insertion_rises_sooner_than_by_chance():
    image = torch.zeros(1, 2, 16, 16)
    image[0, 0, 2:6, 2:6] = 1

    def score(each):
        return Spots()(each)[:, 1]

    maps = integrated_gradients(Spots(), image, Target(1))
    chance = torch.rand(maps.shape, generator=torch.Generator().manual_seed(0))
    for curve, better in ((deletion_curve, -1), (insertion_curve, 1)):
        ours, by_chance = (area_under_curve(curve(score, image, each)) for each in (maps, chance))
        assert better * (ours - by_chance) > 0.3
        assert by_chance == pytest.approx(0.5, abs=0.1)
    curve = deletion_curve(score, image, maps)
    assert float(curve[0]) == pytest.approx(1)
    assert not curve[-1]
    assert len(curve) == 21


@pytest.mark.parametrize("method", [grad_cam, partial(integrated_gradients, steps=4, draws=1)])
def test_maps_depend_on_the_weights(method):
    torch.manual_seed(0)
    encoder = partial(UNetEncoder, channels=(4, 8))
    network = FusionNet(MODALITIES, encoder, [1], Mean, ClassificationHead, spatial_dims=2, shared=True).eval()
    image = scans(extent=8)
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    steps = list(cascading_randomisation(network, lambda other: method(other, image, Target(1)), image))
    assert steps[0] == ("", 1.0)
    assert steps[1][0].startswith("body.head")
    assert steps[-1][0] == "body.encoders.encoder.stages.0.conv_0.conv"
    assert abs(steps[-1][1]) < 0.7
    assert all(torch.equal(kept[key], value) for key, value in network.state_dict().items())
    same = cascading_randomisation(network, lambda other: image.nan_to_num(), image)
    assert {round(rho, 6) for _, rho in same} == {1.0}


@pytest.mark.parametrize("extent", [16, 37])
def test_region_is_explained_by_windows_that_see_it(extent):
    network = segmenter()
    explain = partial(integrated_gradients, steps=48, draws=1, batch_size=16)
    image = torch.randn(1, 3, extent, 16, 16, generator=torch.Generator().manual_seed(0))
    image[:, 1] = torch.nan
    region = torch.zeros(extent, 16, 16, dtype=torch.bool)
    region[4:7, 5:9, 5:9] = True
    region[-6:-2, 5:9, 5:9] = True
    maps = explain_region(network, image, explain, 1, region, [16, 16, 16])
    assert maps.shape == image.shape
    assert not maps[:, 1].any()
    with torch.no_grad():
        both = [network(each)[0, 1] for each in (image, shuffled(image, 0))]
    if extent == 16:  # one window sees all, so that it explains the mean logit of the region
        expected = float((both[0] - both[1])[region].mean())
        assert float(maps.sum()) == pytest.approx(expected, abs=0.02 * float(maps.abs().sum()))
    else:  # a window each, and nothing between
        assert maps[:, :, :8].abs().sum() > 0
        assert maps[:, :, -8:].abs().sum() > 0
    coarse, fine = (
        explain_region(network, image, find_method(name), 0, region, [16, 16, 16]) for name in ("gradcam", "gradcam:0")
    )
    assert not coarse[:, 1].any()
    assert not torch.equal(coarse, fine)


def test_grad_cam_takes_tables_and_ensembles(tmp_path):
    inner = classifier([1, 2])
    tokens = TableTokens(numeric=1, categories=[])
    network = TableNet(inner, tokens, DAFT).eval()
    image, table = scans(), torch.tensor([[0.5]])
    for name in METHODS:
        assert find_method(name)(network, image, Target(0), [table]).shape == image.shape
    torch.save(inner.state_dict(), tmp_path / "model.pt")
    twice = EnsembleAverage(inner, [tmp_path / "model.pt"])
    torch.testing.assert_close(grad_cam(twice, image, Target(1)), grad_cam(inner, image, Target(1)))


def test_methods_have_names():
    for name in ("lime", "gradcam:deep", "occlusion:1"):
        with pytest.raises(PolyscanError, match="no method of attribution"):
            find_method(name)
