"""Every network is one contract: encode each modality, fuse the chosen ones, read the answer."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from hypothesis import given, settings, strategies as st

from polyscan import fusion, networks
from polyscan.errors import PolyscanError
from polyscan.fusion import AttentionWeighted, Concatenation, MaskedTransformer, Mean, Sum
from polyscan.fusion.output import MeanProbability
from polyscan.fusion.table import DAFT, TableTokens
from polyscan.fusion.temporal import TemporalDifference
from polyscan.inference import every_subset, monte_carlo
from polyscan.networks import (
    CachedFeatures,
    ClassificationHead,
    CoxHead,
    DRIFANet,
    FusionModel,
    FusionNet,
    MulticlassHead,
    MultiScaleNet,
    PackedScales,
    ResNetEncoder,
    RidgeNet,
    SegmentationHead,
    SurvivalNet,
    TableNet,
    TemporalNet,
    UNetEncoder,
    VectorEncoder,
)
from polyscan.networks.fusion_model import describe

NAN = float("nan")
encoder = partial(UNetEncoder, channels=(4, 6, 8))
segment = partial(SegmentationHead, width=(4, 6), dropout=0.3)
classify = partial(ClassificationHead, dropout=0.3)


def net_at(fuse_at, head=segment, layer=AttentionWeighted, modalities=("T1", "T2", "CT"), **options):
    return FusionNet(modalities, encoder, fuse_at, layer, head, spatial_dims=2, **options)


def strided():
    coarse, head = partial(ResNetEncoder, depth=10, widen_factor=0.125), partial(SegmentationHead, width=(4,) * 4)
    return FusionNet(["T1", "T2", "CT"], coarse, [0, 1, 2, 3, 4], Mean, partial(head, dropout=0.3), spatial_dims=2)


def scans(channels, size=16):
    return lambda: torch.randn(2, channels, size, size)


# name: network, its images, what it takes behind them
NETWORKS = {
    "input": (lambda: net_at("input"), scans(3), []),
    "one level": (lambda: net_at([1], classify), scans(3), []),
    "every level": (lambda: net_at([0, 1, 2]), scans(3), []),
    "output": (lambda: net_at("output", classify, MeanProbability), scans(3), []),
    "shared": (lambda: net_at([0, 2], shared=True), scans(3), []),
    "strided": (strided, scans(3, 21), []),
    "table": (
        lambda: TableNet(net_at([2], classify), TableTokens(numeric=1, categories=[2]), DAFT),
        scans(3),
        [torch.tensor([[0.4, 1.0], [NAN, 0.0]])],
    ),
    "survival": (lambda: SurvivalNet(net_at([2], partial(CoxHead, dropout=0.3)), horizons=[12, 36]), scans(3), []),
    "ridge": (
        lambda: RidgeNet(
            FusionNet(
                ["T1", "T2", "CT"],
                partial(VectorEncoder, size=8, channels=(16,)),
                "output",
                Sum,
                partial(CoxHead, hidden=0, dropout=0.3),
                spatial_dims=1,
            ),
            size=8,
        ),
        lambda: torch.randn(2, 3, 8),
        [],
    ),
    "temporal": (
        lambda: TemporalNet(net_at([0, 2], modalities=("T1c", "FLAIR")), TemporalDifference),
        scans(4),
        [torch.tensor([[0.0, 80.0], [3.0, 9.0]])],
    ),
    "table over time": (
        lambda: TableNet(
            TemporalNet(net_at([2], classify, modalities=("T1c", "FLAIR")), TemporalDifference),
            TableTokens(numeric=2, categories=[]),
            DAFT,
        ),
        scans(4),
        [torch.tensor([[0.4, 1.0], [NAN, 0.0]])],
    ),
    "scales": (
        lambda: MultiScaleNet({"CT": 0, "PET": 1, "T2": 0}, encoder, AttentionWeighted, segment, spatial_dims=2),
        lambda: [torch.randn(2, 1, n, n) for n in (16, 8, 16)],
        [],
    ),
    "packed": (
        lambda: PackedScales(MultiScaleNet({"CT": 0, "PET": 1}, encoder, AttentionWeighted, segment, spatial_dims=2)),
        scans(2),
        [],
    ),
    "DRIFA": (lambda: DRIFANet(["MR", "CT"], {"mass": ["no", "yes"]}, widths=(4, 4, 6, 8)), scans(6, 64), []),
    "DRIFA, lean": (
        lambda: DRIFANet(["MR", "CT"], {"mass": 2}, widths=(4, 4, 6, 8), faithful=False, fusion=Concatenation),
        scans(6, 64),
        [],
    ),
}
every = pytest.mark.parametrize("name", NETWORKS)


def made(name, seed=0):
    torch.manual_seed(seed)
    make, images, inputs = NETWORKS[name]
    return make().eval(), images(), inputs


def without(image, modality, count, value=NAN):
    """The image with another value in the place of one modality."""
    if isinstance(image, list):
        return [x.clone().fill_(value) if m == modality else x for m, x in enumerate(image)]
    each = image.clone().unflatten(1, (count, -1))
    each[:, modality] = value
    return each.flatten(1, 2)


def test_every_network_of_the_package_is_tried():
    kinds = {type(make()) for make, _, _ in NETWORKS.values()}
    public = {getattr(networks, name) for name in networks.__all__}
    assert kinds == {c for c in public if issubclass(c, FusionModel)} - {FusionModel}


@every
def test_forward_is_encode_fuse_head(name):
    net, image, inputs = made(name)
    image = without(image, 1, len(net.modalities))
    features, available = net.encode(image)
    assert available.shape == (2, len(net.modalities))
    assert all(x.shape[:2] == available.shape for x in features)
    fused = net.fuse(features, available, *inputs)
    assert [x.shape[1] for x in fused] == (net.fused_channels or [x.shape[1] for x in fused])
    logits = net.head(fused, available, net.image_size(image))
    torch.testing.assert_close(logits, net(image, *inputs), rtol=0, atol=0)
    assert logits.dim() == 2 or list(logits.shape[2:]) == net.image_size(image)


@every
@settings(max_examples=5, deadline=None)
@given(
    modality=st.integers(0, 1),
    junk=st.sampled_from([NAN, float("inf"), -float("inf"), 1e30, -7.0]),
    seed=st.integers(0, 99),
)
def test_what_stands_in_absent_modalities_changes_nothing(name, modality, junk, seed):
    net, image, inputs = made(name, seed)
    expected = net(without(image, modality, len(net.modalities)), *inputs)
    assert expected.isfinite().all()
    features, available = net.encode(image)
    chosen = available.clone()
    chosen[:, modality] = False
    spoiled = [torch.where(expand(chosen, x), x, torch.tensor(junk)) for x in features]
    found = net.head(net.fuse(spoiled, chosen, *inputs), chosen, net.image_size(image))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def expand(values, features):
    return values.reshape(*values.shape, *[1] * (features.dim() - 2))


@every
def test_cached_subsets_and_samples_equal_direct_calls(name):
    net, image, inputs = made(name)
    cached = CachedFeatures.of(net, image, inputs)
    torch.testing.assert_close(cached.logits(), net(image, *inputs))
    described = cached.described()
    assert described.shape[:2] == cached.pooled().shape[:2]
    assert described.isfinite().all()
    for m in range(len(net.modalities)):
        available = cached.available.clone()
        available[:, m] = False
        direct = net(without(image, m, len(net.modalities)), *inputs)
        torch.testing.assert_close(cached.logits(available), direct, rtol=1e-4, atol=1e-5)
    samples = monte_carlo(net, image, 3, inputs=inputs)
    assert samples.shape == (3, *net(image, *inputs).shape)
    assert not torch.equal(samples[0], samples[1])
    assert not any(layer.training for layer in net.modules())


def test_a_scan_is_described_by_how_large_how_uneven_and_how_fine_each_channel_is():
    level, vector = torch.arange(12.0).reshape(1, 1, 1, 3, 4, 1), torch.tensor([[[7.0]]])
    cached = CachedFeatures(None, [level, vector], torch.ones(1, 1, dtype=torch.bool), [3, 4, 1])
    by_hand = [5.5, (143 / 12) ** 0.5, 4 + 1, 7]  # neighbours differ by 4 along one axis, by 1 along the other
    assert cached.described().flatten().tolist() == pytest.approx(by_hand)


@every
def test_every_subset_of_one_study(name):
    net, image, inputs = made(name)
    one = [x[:1] for x in image] if isinstance(image, list) else image[:1]
    answers = every_subset(net, one, [x[:1] for x in inputs])
    assert len(answers) == 2 ** len(net.modalities) - 1
    alone = one
    for m in range(1, len(net.modalities)):
        alone = without(alone, m, len(net.modalities))
    direct = net(alone, *[x[:1] for x in inputs])
    torch.testing.assert_close(answers[net.modalities[0],], direct, rtol=1e-4, atol=1e-5)


@every
def test_no_parameter_is_registered_twice(name):
    net, _, _ = made(name)
    tensors = [t.data_ptr() for t in net.state_dict(keep_vars=True).values() if t.numel()]
    assert len(tensors) == len(set(tensors))
    assert len(list(net.named_parameters())) == len(list(net.named_parameters(remove_duplicate=False)))


def test_fusion_at_the_input_makes_one_encoder():
    calls = []

    def counted(*sizes):
        calls.append(sizes)
        return encoder(*sizes)

    FusionNet(["T1", "T2"], counted, "input", Mean, classify, spatial_dims=2, input_channels=5)
    assert calls == [(5, 2)]
    with pytest.raises(ValueError, match="only fusion at the input has some"):
        net_at([1], input_channels=5)


def test_layers_differ_by_level():
    net = net_at([0, 2], layer={"0": Concatenation, "2": partial(MaskedTransformer, depth=2)})
    kinds = [type(layer).__name__ for layer in net.body.fusions]
    assert kinds == ["Concatenation", "NoFusion", "MaskedTransformer"]
    assert net(torch.randn(1, 3, 16, 16)).isfinite().all()
    with pytest.raises(PolyscanError, match=r"names a layer for the levels \[0\]; level 2 is fused too"):
        net_at([0, 2], layer={0: Concatenation})
    with pytest.raises(PolyscanError, match=r"for the levels \[1\]; fused are the levels \[0, 2\]"):
        net_at([0, 2], layer={0: Concatenation, 1: Mean, 2: Mean})
    scales = MultiScaleNet({"CT": 0, "PET": 1}, encoder, {"0": Mean, "1": Concatenation, "2": Mean}, segment)
    assert [type(layer).__name__ for layer in scales.fusions] == ["Mean", "Concatenation", "Mean"]


def test_layers_of_the_wrong_kind_are_refused():
    with pytest.raises(PolyscanError, match="MeanProbability joins logits; a layer that joins features is needed"):
        net_at([1], layer=MeanProbability)
    with pytest.raises(PolyscanError, match=r"TemporalDifference joins time points; .* joins features or logits is"):
        net_at("output", layer=TemporalDifference)
    with pytest.raises(PolyscanError, match="Mean joins features; a layer that joins time points is needed"):
        TemporalNet(net_at([1]), Mean)
    with pytest.raises(PolyscanError, match="DAFT joins a table and features"):
        net_at([1], layer=DAFT)
    with pytest.raises(ValueError, match="fuses at the output"):
        TableNet(net_at("output", classify, MeanProbability), TableTokens(1, []), DAFT)


# weights


def test_weights_say_what_they_were_made_for_and_are_refused_elsewhere(tmp_path):
    tasks = {"grade": ["2", "3"], "IDH": ["no", "yes"]}
    net = net_at([1], partial(MulticlassHead, tasks=tasks))
    torch.save(net.state_dict(), tmp_path / "model.pt")
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert describe(weights) == {
        "format_version": 1,
        "modalities": ["T1", "T2", "CT"],
        "outputs": ["grade: 2", "grade: 3", "IDH: no", "IDH: yes"],
        "settings": {},
    }
    net.load_state_dict(weights)
    swapped = net_at([1], partial(MulticlassHead, tasks=tasks), modalities=("T2", "T1", "CT"))
    with pytest.raises(PolyscanError, match="for the modalities T1, T2, CT, in this order; the network has T2, T1"):
        swapped.load_state_dict(weights)
    with pytest.raises(PolyscanError, match="made for the outputs grade: 2"):
        net_at([1], partial(MulticlassHead, tasks={"grade": ["2", "3"], "EGFR": ["no", "yes"]})).load_state_dict(
            weights
        )
    other = dict(weights)
    del other["_extra_state"]
    with pytest.raises(PolyscanError, match="do not say which modalities and outputs"):
        net.load_state_dict(other)
    newer = json.dumps({"format_version": 2, "modalities": [], "outputs": []}).encode()
    with pytest.raises(PolyscanError, match="format version 2; this polyscan reads 1"):
        net.load_state_dict({**weights, "_extra_state": torch.tensor(list(newer), dtype=torch.uint8)})
    before = net.body.head.heads["IDH"].last.bias.clone()
    bad = {name: value.clone() for name, value in weights.items()}
    bad["body.head.heads.IDH.last.bias"] += 1
    bad["body.head.heads.grade.last.bias"][0] = NAN
    with pytest.raises(PolyscanError, match=r"not finite, in body\.head\.heads\.grade\.last\.bias"):
        net.load_state_dict(bad)
    torch.testing.assert_close(net.body.head.heads["IDH"].last.bias, before, rtol=0, atol=0)


def test_monais_loader_takes_and_refuses_them(tmp_path):
    from ignite.engine import Engine
    from monai.handlers import CheckpointLoader
    from monai.networks.utils import copy_model_state

    net, same = net_at([1], partial(segment, regions=["tumour"])), net_at([1], partial(segment, regions=["tumour"]))
    torch.save(net.state_dict(), tmp_path / "model.pt")
    engine = Engine(lambda *_: None)
    CheckpointLoader(str(tmp_path / "model.pt"), {"model": same})(engine)
    image = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(same.eval()(image), net.eval()(image), rtol=0, atol=0)
    swapped = net_at([1], partial(segment, regions=["tumour"]), modalities=("T2", "T1", "CT"))
    with pytest.raises(PolyscanError, match="made for the modalities"):
        CheckpointLoader(str(tmp_path / "model.pt"), {"model": swapped})(engine)
    copy_model_state(same, net_at([1], partial(segment, regions=["tumour"])).state_dict())
    with pytest.raises(PolyscanError, match="made for the modalities"):
        copy_model_state(swapped, torch.load(tmp_path / "model.pt", weights_only=True))


# what a classification can learn


XOR = [layer for layer in fusion.layers() if layer.joins == "features"]


@pytest.mark.parametrize("layer", XOR, ids=lambda layer: layer.__name__)
def test_the_class_may_depend_on_two_modalities_together(layer):
    """XOR: each modality alone tells nothing, so that a sum of one logit a modality stays at chance."""
    torch.manual_seed(0)
    small = partial(UNetEncoder, channels=(8, 16), norm="batch")
    net = FusionNet(["T1", "T2"], small, [1], layer, ClassificationHead, spatial_dims=2)
    bits = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(8, 1)
    target, optimizer = bits.sum(1) % 2, torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(150):
        image = 2.0 * (bits[:, :, None, None] - 0.5) + 0.3 * torch.randn(32, 2, 8, 8)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(image), target)
        loss.backward()
        optimizer.step()
        if step >= 50 and loss < 0.01:  # by then batch norm knows what it divides by
            break
    net.eval()
    image = 2.0 * (bits[:, :, None, None] - 0.5) + 0.3 * torch.randn(32, 2, 8, 8)
    assert (net(image).argmax(1) == target).float().mean() > 0.95
