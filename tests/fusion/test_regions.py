"""Layers that labels teach where regions are (RFNet, mmFormer), against their formulas worked out by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import against, all_of, block, expit, linear, softmax

from polyscan import fusion
from polyscan.fusion.region_supervision import region_loss


def test_region_aware():
    def rfnet(there, w):
        every = all_of(there, 3, 4)
        hidden = linear(w, "guess.0", every)
        p = softmax(linear(w, "guess.2", np.where(hidden > 0, hidden, 0.2 * hidden)), axis=0)
        merged = []
        for k, region in enumerate(p):
            size = region.mean() + 1e-7
            g = [(region * there[m]).mean(1) / size if m in there else np.zeros(4) for m in range(3)]
            hidden = linear(w, f"weighers.{k}.0", np.concatenate([*g, [size]])[:, None])
            weights = expit(linear(w, f"weighers.{k}.2", np.where(hidden > 0, hidden, 0.2 * hidden)))[:, 0]
            merged.append(sum(weights[m] * region * x for m, x in there.items()))
        return linear(w, "merge", np.concatenate(merged)) + linear(w, "shortcut", every)

    against(fusion.RegionAware(3, 4, regions=5), rfnet)


@pytest.mark.parametrize("layer", [fusion.RegionAware, fusion.MaskedTransformer])
def test_regions_are_taught_by_labels(layer):
    """Both terms by hand, for nested regions: their last one counts, unknown voxels do not, absent rows do not."""
    torch.manual_seed(0)
    net = layer(2, 4, 2, regions=3).double()
    features, available = torch.randn(2, 2, 4, 4, 3).double(), torch.tensor([[True, True], [False, True]])
    outer, inner = torch.rand(2, 4, 3) < 0.7, torch.rand(2, 4, 3) < 0.4
    target = torch.stack([outer | inner, inner], dim=1).double()
    target[0, :, 0, 0] = torch.nan
    classes = (outer | inner).long() + inner

    def by_hand(logits, classes, known):
        p = softmax(logits.detach().numpy(), axis=1)
        t = np.eye(3)[classes.numpy()].transpose(0, 3, 1, 2)
        p, t = (x.transpose(1, 0, 2, 3)[:, known.numpy()] for x in (p, t))
        weight = 1 - t.mean(1, keepdims=True)
        entropy = -(weight * t * np.log(np.clip(p, 0.005, 1))).sum(0).mean()
        return entropy + 1 - np.mean(2 * (p * t).sum(1) / (p.sum(1) + t.sum(1) + 1e-7))

    known = torch.isfinite(target).all(1)
    clean = features.masked_fill(~available[:, :, None, None, None], 0)
    fused = net(features, available)
    logits = net.region_maps(clean, available) if layer is fusion.RegionAware else net.segment(fused)
    each = sum(by_hand(net.decode(clean[rows, m]), classes[rows], known[rows]) for m, rows in enumerate(([0], [0, 1])))
    got = net.auxiliary_loss(features, available, fused, target)
    np.testing.assert_allclose(got["regions"].detach(), by_hand(logits, classes, known), rtol=1e-5)
    np.testing.assert_allclose(got["modalities"].detach(), each, rtol=1e-5)
    assert all(term == 0 for term in net.auxiliary_loss(features, available, fused, torch.ones(2, 3)).values())
    with pytest.raises(ValueError, match="make it with regions=4 or more"):
        net.auxiliary_loss(features, available, fused, torch.ones(2, 3, 4, 3))


def test_region_loss_is_taken_in_single_precision():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 4, 4).bfloat16(), torch.eye(3)[torch.randint(3, (2, 4, 4))].movedim(-1, 1)
    known = torch.ones(2, 4, 4, dtype=torch.bool)
    loss = region_loss(logits, target.bfloat16(), known)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, region_loss(logits.float(), target, known), rtol=1e-6, atol=1e-6)


def test_region_maps_learn_from_labels_alone():
    net = fusion.RegionAware(2, 4)
    net(torch.randn(2, 2, 4, 5), torch.ones(2, 2, dtype=torch.bool)).sum().backward()
    assert all(p.grad is None for p in net.guess.parameters())


@pytest.mark.parametrize("size", [1.0, 300.0, 1e6])
def test_region_aware_is_finite_where_a_region_is_nowhere(size):
    """exp(-200) is 0 in single precision, and the mean over nothing 0 / 0."""
    for seed in range(10):
        torch.manual_seed(seed)
        net, features = fusion.RegionAware(3, 8), (size * torch.randn(2, 3, 8, 4, 4, 4)).requires_grad_()
        out = net(features, torch.ones(2, 3, dtype=torch.bool))
        out.sum().backward()
        assert out.isfinite().all()
        assert features.grad.isfinite().all()


def mmformer(there, w, coarse, upsample):
    """With 2 x 2 positions: ``coarse`` and ``upsample`` say what becomes of (channel, voxel) there and back."""

    def transformer(name, tokens, positions):
        for depth in range(2):
            tokens = block(w, f"{name}.blocks.{depth}", tokens + positions, heads=2)
        return tokens

    positions = [w["positions"][m].reshape(6, 4) for m in range(3)]
    own = np.zeros((3, 6, 4))
    for m, x in there.items():
        start = w["encode.weight"][m] @ coarse(x) + w["encode.bias"][m][:, None]
        own[m] = transformer(f"intra.{m}", start, positions[m])
    joint = transformer("inter", np.concatenate(own, axis=1), np.concatenate(positions, axis=1))
    read = linear(w, "merge", np.concatenate(np.split(joint, 3, axis=1)))
    return upsample(read) + linear(w, "shortcut", all_of(there, 3, 4))


def test_masked_transformer():
    def as_it_is(x):
        return x

    net = fusion.MaskedTransformer(3, 4, 2, depth=2, tokens=4, width=6, heads=2, expansion=3)
    against(net, lambda there, w: mmformer(there, w, as_it_is, as_it_is), spatial=(2, 2))


def test_masked_transformer_reads_averages_over_blocks_and_interpolates():
    """4 x 4 voxels, 2 x 2 positions; along an axis linearly between the centres of two blocks, constant outside."""
    between = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])

    def coarse(x):
        return x.reshape(-1, 2, 2, 2, 2).mean((2, 4)).reshape(-1, 4)

    def upsample(x):
        return np.einsum("xi,yj,cij->cxy", between, between, x.reshape(-1, 2, 2)).reshape(-1, 16)

    net = fusion.MaskedTransformer(3, 4, 2, depth=2, tokens=5, width=6, heads=2, expansion=3)
    against(net, lambda there, w: mmformer(there, w, coarse, upsample), spatial=(4, 4))


def test_masked_transformer_interpolates_its_positions_to_the_grid_and_gives_a_vector_their_mean():
    net = fusion.MaskedTransformer(1, 2, 1, tokens=4)
    net.positions.data = torch.tensor([[[0.0, 1.0, 2.0, 3.0], [4.0, 0.0, 0.0, 0.0]]])
    torch.testing.assert_close(net._positions([2]), torch.tensor([[[0.5, 2.0], [2.5, 0.0]]]))
    torch.testing.assert_close(net._positions([]), torch.tensor([[[1.5, 1.0]]]))
    assert net(torch.randn(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)).shape == (1, 2)


def test_masked_transformer_drops_in_training_what_its_blocks_add():
    torch.manual_seed(0)
    net, features, there = fusion.MaskedTransformer(2, 4, 1), torch.randn(2, 2, 4, 5), torch.ones(2, 2) > 0
    assert not torch.equal(net(features, there), net(features, there))
    assert {module.p for module in net.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}
    sure = fusion.MaskedTransformer(2, 4, 1, dropout=0.0)
    assert torch.equal(sure(features, there), sure(features, there))
