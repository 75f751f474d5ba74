"""Layers of published networks, each against its formulas worked out by NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from by_hand import against, all_of, attention, block, erf, expit, linear, log_softmax, norm, softmax, two
from scipy.ndimage import correlate

from polyscan import fusion
from polyscan.errors import PolyscanError
from polyscan.fusion.blocks import positional_encoding
from polyscan.fusion.flex_mixture_of_experts import unevenness
from polyscan.fusion.product_of_experts import subsets

# The four that DRIFA-Net is compared with


def test_global_local_alignment():
    def gloria(there, w):
        local = {m: w["local.weight"][m] @ x for m, x in there.items()}
        out = []
        for b, x in there.items():
            found = []
            for a in there:
                if a != b:
                    likeness = softmax(local[a].T @ local[b], axis=1)
                    found.append(local[a] @ softmax(4 * likeness, axis=0))
            out.append(x + (linear(w, "project", np.mean(found, axis=0)) if found else 0))
        return np.mean(out, axis=0)

    against(fusion.GlobalLocalAlignment(3, 4), gloria)


def test_contrast_of_gloria():
    torch.manual_seed(0)
    net = fusion.GlobalLocalAlignment(2, 4).double()
    features, available = torch.randn(3, 2, 4, 5).double(), torch.tensor([[True, True]] * 2 + [[True, False]])
    w = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    words = {m: [w["local.weight"][m] @ features[r, m].numpy() for r in range(2)] for m in (0, 1)}
    mean = features.numpy().mean(3)
    whole = {m: [w["whole.weight"][m] @ mean[r, m] + w["whole.bias"][m] for r in range(2)] for m in (0, 1)}

    def cos(x, y):
        return (x * y).sum(0) / np.linalg.norm(x, axis=0) / np.linalg.norm(y, axis=0)

    def infonce(s):
        return -np.mean(np.diag(log_softmax(s, axis=1))) - np.mean(np.diag(log_softmax(s, axis=0)))

    far, near = [], []
    for a, b in ((0, 1), (1, 0)):
        whole_scores, local_scores = np.zeros((2, 2)), np.zeros((2, 2))
        for i in range(2):
            for j in range(2):
                whole_scores[i, j] = 10 * cos(whole[a][i], whole[b][j])
                likeness = softmax(words[a][i].T @ words[b][j], axis=1)
                found = words[a][i] @ softmax(4 * likeness, axis=0)
                local_scores[i, j] = 10 * np.log(np.exp(5 * cos(found, words[b][j])).sum())
        far.append(infonce(whole_scores))
        near.append(infonce(local_scores))
    got = net.auxiliary_loss(features, available, net(features, available))
    np.testing.assert_allclose(got["global"].detach(), np.mean(far), rtol=1e-9)
    np.testing.assert_allclose(got["local"].detach(), np.mean(near), rtol=1e-9)
    alone = torch.tensor([[True, False]] * 3)
    assert [float(x) for x in net.auxiliary_loss(features, alone, net(features, alone)).values()] == [0, 0]


def test_mutual_attention():
    def mtf(there, w):
        t = {m: x + w["embed.weight"][m][:, None] for m, x in there.items()}
        normal = {m: norm(w, "norm", x) for m, x in t.items()}
        out = []
        for m, x in there.items():
            read = [attention(w, "attention", normal[n], normal[m], 4) for n in there if n != m]
            y = t[m] + (np.mean(read, axis=0) if read else 0)
            hidden = linear(w, "mlp.1", norm(w, "mlp.0", y))
            out.append(x + y + linear(w, "mlp.3", hidden * (1 + erf(hidden / np.sqrt(2))) / 2))
        return np.mean(out, axis=0)

    against(fusion.MutualAttention(3, 4), mtf)


def test_co_attention():
    shape = (8, 9)

    def caf(there, w):
        attended = {}
        for m, x in there.items():
            partners = [there[n] for n in there if n != m]
            attended[m] = x
            if partners:
                p = np.mean(partners, axis=0)
                channel = expit(two(w, "channel_gate", p.mean(1)[:, None]) + two(w, "channel_gate", p.max(1)[:, None]))
                view = (p.mean(0).reshape(shape), p.max(0).reshape(shape))
                kernels = w["spatial_gate.weight"][0]
                z = sum(correlate(v, k, mode="constant") for v, k in zip(view, kernels, strict=True))
                attended[m] = x + x * channel * expit(z + w["spatial_gate.bias"]).reshape(-1)
        u = np.sum(list(attended.values()), axis=0)
        logits = (two(w, "near", u) + two(w, "whole", u.mean(1)[:, None])).reshape(3, 4, -1)
        share = softmax(logits[list(there)], axis=0)
        return sum(s * x for s, x in zip(share, attended.values(), strict=True))

    against(fusion.CoAttention(3, 4, 2), caf, spatial=shape)


def test_transformer_bottleneck():
    def mttu(there, w):
        joint = linear(w, "concatenation.project", all_of(there, 3, 4))
        start = joint + positional_encoding([3, 2], 4, torch.zeros(1, dtype=torch.float64)).numpy().T
        tokens = start
        for depth in range(2):
            tokens = block(w, f"blocks.{depth}", tokens, heads=4)
        return joint + tokens - start

    against(fusion.TransformerBottleneck(3, 4, depth=2), mttu)


def test_transformer_bottleneck_reads_averages_over_blocks():
    """Of four voxels two tokens: what is added is constant outside the centres of the two blocks, linear between."""
    torch.manual_seed(0)
    net, features = fusion.TransformerBottleneck(2, 4, 1, tokens=2), torch.randn(1, 2, 4, 4)
    there = torch.ones(1, 2, dtype=torch.bool)
    added = net(features, there) - net.concatenation(features, there)
    pairs = features.unflatten(3, (2, 2)).mean(4)
    two = net(pairs, there) - net.concatenation(pairs, there)
    torch.testing.assert_close(added, two @ torch.tensor([[1, 0.75, 0.25, 0], [0, 0.25, 0.75, 1]]))


def test_positions_are_sines_and_cosines_of_the_axes_in_turn():
    position = positional_encoding([3, 2], 8, torch.zeros(1)).reshape(3, 2, 8).numpy()
    x, y = np.arange(3)[:, None] * np.ones(2), np.ones(3)[:, None] * np.arange(2)
    slow = 10000 ** (2 / 5)
    by_hand = [np.sin(x), np.sin(y), np.cos(x), np.cos(y), np.sin(x / slow), np.sin(y / slow), np.cos(x / slow)]
    np.testing.assert_allclose(position[..., :7], np.stack(by_hand, axis=-1), atol=1e-6)
    assert torch.equal(positional_encoding([], 8, torch.zeros(1)), torch.zeros(1, 8)), "a vector lies nowhere"


# Missing-modality architectures


def test_product_of_experts_is_the_product_of_gaussians():
    """The mean and variance of N(0, 1) times the experts' densities, multiplied on a fine grid."""
    grid = np.linspace(-40, 40, 80001)

    def by_integration(there, w):
        out = np.zeros_like(next(iter(there.values())))
        experts = {m: (w["experts.weight"][m] @ x + w["experts.bias"][m][:, None]) for m, x in there.items()}
        for c, v in np.ndindex(*out.shape):
            log_density = -(grid**2) / 2
            for e in experts.values():
                log_density = log_density - np.exp(e[2 + c, v]) * (grid - e[c, v]) ** 2 / 2
            density = np.exp(log_density - log_density.max())
            out[c, v] = (grid * density).sum() / density.sum()
        return out

    against(fusion.ProductOfExperts(3, 2), by_integration)


def test_product_of_experts_samples_in_training_only():
    torch.manual_seed(0)
    net, features, available = fusion.ProductOfExperts(2, 3), torch.randn(1, 2, 3), torch.tensor([[True, True]])
    mean, precision = net.posterior(features, available)
    samples = torch.stack([net(features, available) for _ in range(4000)])
    torch.testing.assert_close(samples.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(samples.var(0), 1 / precision, atol=0.06, rtol=0)
    torch.testing.assert_close(net.eval()(features, available), mean)


def test_auxiliary_loss_of_uhved():
    """Over the subsets {0}, {1} and {0, 1} of the first row; of the second, which has one modality, that one twice."""
    torch.manual_seed(0)
    net = fusion.ProductOfExperts(2, 3).double().eval()
    features, available = torch.randn(2, 2, 3, 4).double(), torch.tensor([[True, True], [False, True]])
    clean = features.masked_fill(~available[:, :, None, None], 0)

    def normal(row, subset):
        mean, precision = net.posterior(clean[row : row + 1], torch.tensor([[m in subset for m in range(2)]]))
        return torch.distributions.Normal(mean, precision.rsqrt())

    def kl(a, b):
        return torch.distributions.kl_divergence(a, b).mean()

    seen = [(0, {0}), (0, {1}), (0, {0, 1}), (1, {1}), (1, {1})]
    standard = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    fused = net(features, available)
    got = net.auxiliary_loss(features, available, fused)
    torch.testing.assert_close(got["prior"], torch.stack([kl(normal(*s), standard) for s in seen]).mean())
    both = normal(0, {0, 1})
    torch.testing.assert_close(got["subsets"], (kl(both, normal(0, {0})) + kl(both, normal(0, {1}))) / 2)
    error = (net.decode(fused).unflatten(1, (2, 3)) - clean).square()
    torch.testing.assert_close(got["reconstruction"], error[available].mean())
    features.requires_grad_()
    reconstruction = net.auxiliary_loss(features, available, fused)["reconstruction"]
    (gradient,) = torch.autograd.grad(reconstruction, features, allow_unused=True)
    assert gradient is None, "features learn nothing from it"
    many = torch.ones(2, 6, dtype=torch.bool)
    assert set(fusion.ProductOfExperts(6, 3).auxiliary_loss(torch.randn(2, 6, 3), many, torch.randn(2, 3))) == set(got)
    assert sorted(subsets(4)) == sorted([*map(list, itertools.product([False, True], repeat=4))])[1:]
    drawn = torch.tensor([subsets(6) for _ in range(20)])
    assert drawn.shape == (20, 15, 6)
    assert drawn.any(2).all()
    assert float(drawn.double().mean()) == pytest.approx(7 / 12, abs=0.05), "one of six surely, others by half"


@pytest.mark.parametrize("log_precision", [-1e4, 1e4])
def test_an_expert_is_never_surer_or_less_sure_than_its_bounds(log_precision):
    net = fusion.ProductOfExperts(1, 1)
    torch.nn.init.zeros_(net.experts.weight)
    net.experts.bias.data = torch.tensor([[2.0, log_precision]])
    mean, precision = net.posterior(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool))
    bound = np.exp(np.clip(log_precision, -10, 10))
    assert float(precision.detach()) == pytest.approx(1 + bound)
    assert float(mean.detach()) == pytest.approx(2 * bound / (1 + bound))


@pytest.mark.parametrize("modalities", [2, 4, 8, 16])
def test_low_rank_bilinear_keeps_the_size_of_what_enters(modalities):
    torch.manual_seed(0)
    out = fusion.LowRankBilinear(modalities, 16)(torch.randn(512, modalities, 16), torch.ones(512, modalities) > 0)
    assert 0.5 < out.std() < 2
    assert abs(float(out.detach().mean())) < 0.5


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def test_shared_specific():
    def shaspec(there, w):
        shared = {m: linear(w, "shared.2", leaky(linear(w, "shared.0", x))) for m, x in there.items()}
        f = []
        for m in range(3):
            if m in there:
                hidden = leaky(w["specific.0.weight"][m] @ there[m] + w["specific.0.bias"][m][:, None])
                own = w["specific.2.weight"][m] @ hidden + w["specific.2.bias"][m][:, None]
                f.append(linear(w, "residual", np.concatenate([shared[m], own])) + shared[m])
            else:
                f.append(np.mean(list(shared.values()), axis=0))
        return linear(w, "project", np.concatenate(f))

    against(fusion.SharedSpecific(3, 4), shaspec)


def test_auxiliary_loss_of_shaspec():
    """The ring 0-1-2-0 of the row that has all, 1-2-1 of the row without the first, none of the row that has one."""
    torch.manual_seed(0)
    net = fusion.SharedSpecific(3, 4).double()
    features = torch.randn(3, 3, 4, 5).double()
    available = torch.tensor([[True, True, True], [False, True, True], [False, True, False]])
    w = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    x = features.numpy()
    shared = [[linear(w, "shared.2", leaky(linear(w, "shared.0", x[row, m]))) for m in range(3)] for row in range(3)]
    rings = [[(0, 1), (1, 2), (2, 0)], [(1, 2), (2, 1)], []]
    apart = [sum(np.abs(shared[row][a] - shared[row][b]).mean() for a, b in ring) for row, ring in enumerate(rings)]
    told: list[list] = [[], [], []]
    for row, m in available.nonzero().tolist():
        hidden = leaky(w["specific.0.weight"][m] @ x[row, m] + w["specific.0.bias"][m][:, None])
        own = (w["specific.2.weight"][m] @ hidden + w["specific.2.bias"][m][:, None]).mean(1)
        told[row].append(-log_softmax(w["which.weight"] @ own + w["which.bias"])[m])
    got = net.auxiliary_loss(features, available, net(features, available))
    np.testing.assert_allclose(got["shared"].detach(), np.mean(apart), rtol=1e-9)
    # A mean over studies, so that two processes of one study each train as one of two.
    np.testing.assert_allclose(got["domain"].detach(), np.mean([np.mean(row) for row in told]), rtol=1e-9)
    alone = net.auxiliary_loss(features[2:], available[2:], net(features[2:], available[2:]))
    np.testing.assert_allclose(alone["domain"].detach(), told[2][0], rtol=1e-9)


def test_shared_specific_is_no_concatenation():
    """It was affine in each modality, so that a linear map of them side by side could do all that it did."""
    torch.manual_seed(0)
    net, there = fusion.SharedSpecific(2, 4).double(), torch.ones(1, 2, dtype=torch.bool)
    x, y = torch.randn(2, 1, 2, 4, dtype=torch.float64)
    assert not torch.allclose(net(x + y, there) + net(torch.zeros_like(x), there), net(x, there) + net(y, there))


def healnet(reads, w, *, heads, depth):
    """Latents (channel, latent) that have read the tokens (channel, token) of the modalities in ``reads``."""
    latents = w["latents"].T
    for number in range(depth):
        for m, tokens in reads.items():
            name = f"passes.{number}.reads.{m}"
            asking, read = norm(w, f"{name}.norm", latents), norm(w, f"{name}.norm_context", tokens)
            latents = latents + attention(w, f"{name}.attention", asking, read, heads)
            latents = latents + gelu_mlp(w, f"{name}.mlp", latents)
            latents = block(w, f"passes.{number}.mix", latents, heads)
    return latents


def gelu_mlp(w, name, x):
    hidden = linear(w, f"{name}.1", norm(w, f"{name}.0", x))
    return linear(w, f"{name}.3", hidden * (1 + erf(hidden / np.sqrt(2))) / 2)


def test_latent_attention():
    place = positional_encoding([3, 2], 4, torch.zeros(1).double()).numpy().T

    def perceiver_io(there, w):
        latents = healnet({m: x + place for m, x in there.items()}, w, heads=2, depth=2)
        mean = np.mean(list(there.values()), axis=0)
        asking = norm(w, "norm_query", mean + place)
        return mean + attention(w, "attention", asking, norm(w, "norm_latents", latents), heads=2)

    against(fusion.LatentAttention(3, 4, 2, latents=5, depth=2, heads=2), perceiver_io)


def test_latents_read_modalities_of_any_number_of_tokens_and_skip_the_absent():
    """A map of six tokens, a vector, a sequence whose last visits have not come; the second row has no vector."""
    torch.manual_seed(0)
    net = fusion.LatentAttention(3, 4, latents=5, heads=2).double()
    w = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    tokens = [torch.randn(2, count, 4, dtype=torch.float64) for count in (6, 1, 3)]
    valid = [
        torch.ones(2, 6) > 0,
        torch.tensor([[True], [False]]),
        torch.tensor([[True, True, False], [True, False, False]]),
    ]
    got = net.read(tokens, valid).detach().numpy()
    for row in range(2):
        reads = {m: tokens[m][row, valid[m][row]].numpy().T for m in range(3) if valid[m][row].any()}
        np.testing.assert_allclose(got[row].T, healnet(reads, w, heads=2, depth=1), atol=1e-9)


def flex_tokens(there, w):
    """What the router reads, and what the experts add to, (channel, voxel) of each of three modalities; two heads."""
    voxels = next(iter(there.values())).shape[1]
    number = sum(2**m for m in there)
    filled = [
        there[m] + w["embed.weight"][m][:, None]
        if m in there
        else np.repeat(w["bank"][number - 1, m][:, None], voxels, 1)
        for m in range(3)
    ]
    found = np.zeros((3, 4, voxels))
    for voxel in range(voxels):
        y = np.stack([x[:, voxel] for x in filled], axis=1)
        normal = norm(w, "norm_attention", y)
        found[:, :, voxel] = (y + attention(w, "attention", normal, normal, heads=2)).T
    return found


def flex_gates(w, tokens, top):
    """Scores and gates (expert, token)."""
    scores = w["experts.router.weight"] @ tokens
    gates = np.zeros_like(scores)
    for column, score in enumerate(scores.T):
        best = np.argsort(score)[-top:]
        gates[best, column] = softmax(score[best])
    return scores, gates


def test_flex_mixture_of_experts():
    def flex(there, w):
        told = []
        for x in flex_tokens(there, w):
            normal = norm(w, "norm_experts", x)
            _, gates = flex_gates(w, normal, top=2)
            each = []
            for e in range(5):
                hidden = linear(w, f"experts.experts.{e}.0", normal)
                each.append(linear(w, f"experts.experts.{e}.2", hidden * (1 + erf(hidden / np.sqrt(2))) / 2))
            told.append(x + (gates[:, None] * np.array(each)).sum(0))
        return linear(w, "merge", np.concatenate(told))

    against(fusion.FlexMixtureOfExperts(3, 4, experts=5, heads=2), flex)


def test_auxiliary_loss_of_flex_moe():
    """Two complete rows, one without the first modality (number 6), one with it alone (number 1); the last has none."""
    torch.manual_seed(0)
    net = fusion.FlexMixtureOfExperts(3, 4, experts=5, heads=2).double()
    features = torch.randn(5, 3, 4, 5).double()
    available = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 0, 0], [1, 1, 1], [0, 0, 0]]) > 0
    w = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    wrong, complete, incomplete = [], np.zeros(5), np.zeros(5)
    for row, own in enumerate([None, 1 + 5 % 4, 1 + 0 % 4, None]):
        there = {m: features[row, m].numpy() for m in range(3) if available[row, m]}
        tokens = norm(w, "norm_experts", np.concatenate(list(flex_tokens(there, w)), axis=1))
        scores, gates = flex_gates(w, tokens, top=2)
        if own is None:
            complete += gates.sum(1)
        else:
            incomplete += gates.sum(1)
            wrong.append(-log_softmax(scores, axis=0)[own].mean())
    got = net.auxiliary_loss(features, available, net(features, available))
    np.testing.assert_allclose(got["routing"].detach(), sum(wrong) / 5, rtol=1e-9)
    assert float(unevenness(torch.tensor([0.0, 2e-5]))) == pytest.approx(1, rel=1e-3), (
        "as though 1e-10 were added below"
    )
    two = fusion.FlexMixtureOfExperts(3, 4, experts=2, heads=2).double()
    assert two.auxiliary_loss(features, available, two(features, available))["balance"].dim() == 0
    uneven = [np.var(load, ddof=1) / load.mean() ** 2 for load in (complete, incomplete[1:])]
    np.testing.assert_allclose(got["balance"].detach(), sum(uneven), rtol=1e-9)


def test_flex_moe_learns_to_send_a_combination_to_its_expert():
    torch.manual_seed(0)
    net, features = fusion.FlexMixtureOfExperts(2, 4, top=1), torch.randn(32, 2, 4, 3)
    available = torch.tensor([[True, False], [False, True]]).repeat(16, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        net.auxiliary_loss(features, available, features[:, 0])["routing"].backward()
        optimizer.step()
    tokens = net.norm_experts(net._tokens(features * available[:, :, None, None], available))
    taken = net.experts.gates(net.experts.router(tokens)).argmax(-1).flatten(1)
    assert (taken[0::2] == 1).all()
    assert (taken[1::2] == 2).all()


def test_flex_moe_refuses_what_it_cannot_hold():
    with pytest.raises(PolyscanError, match="found 11 of them, expected 10 at most"):
        fusion.FlexMixtureOfExperts(11, 4)
    for options in ({"experts": 1}, {"top": 0}, {"experts": 3, "top": 4}):
        with pytest.raises(ValueError, match="expected at least 2, and 1 to"):
            fusion.FlexMixtureOfExperts(3, 4, **options)
