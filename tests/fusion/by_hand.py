"""Few-line NumPy versions of what layers are made of, and how a layer is held against its formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import erf, expit, log_softmax, softmax

Parameters = dict[str, np.ndarray]
Formula = Callable[[dict[int, np.ndarray], Parameters], np.ndarray]

__all__ = [
    "against",
    "all_of",
    "attention",
    "block",
    "erf",
    "expit",
    "flags",
    "linear",
    "log_softmax",
    "norm",
    "softmax",
    "two",
]


def against(net, formula: Formula, *, spatial=(3, 2), seed=0, **inputs) -> None:
    """Compare a layer with its formula on random weights, features and availability, in double precision.

    The formula gets the modalities that are there, index to (channel, voxel), and the layer's weights by name.
    """
    torch.manual_seed(seed)
    net = net.double().eval()
    for parameter in net.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5)
    n, c = net.modalities, net.channels
    available = torch.rand(4, n) < 0.6
    available[0], available[1], available[2, 0], available[3] = (
        True,
        torch.arange(n) == n - 1,
        True,
        torch.arange(n) < 2,
    )
    features = torch.randn(4, n, c, *spatial, dtype=torch.float64)
    got = net(features, available, **inputs).detach().numpy()
    weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    for row in range(4):
        there = {m: features[row, m].reshape(c, -1).numpy() for m in range(n) if available[row, m]}
        per_row = {name: value[row].numpy() for name, value in inputs.items()}
        np.testing.assert_allclose(got[row].reshape(c, -1), formula(there, weights, **per_row), atol=1e-9, rtol=1e-7)


def linear(weights: Parameters, name: str, x: np.ndarray) -> np.ndarray:
    """W x + b for (channel, voxel) x."""
    out = weights[f"{name}.weight"] @ x
    return out + weights[f"{name}.bias"][:, None] if f"{name}.bias" in weights else out


def two(weights: Parameters, name: str, x: np.ndarray) -> np.ndarray:
    """W2 relu(W1 x + b1) + b2."""
    return linear(weights, f"{name}.2", np.maximum(linear(weights, f"{name}.0", x), 0))


def flags(there: dict[int, np.ndarray], modalities: int, voxels: int) -> np.ndarray:
    """(modality, voxel): one where a modality is there."""
    return np.repeat([[float(m in there)] for m in range(modalities)], voxels, axis=1)


def norm(weights: Parameters, name: str, x: np.ndarray) -> np.ndarray:
    """Layer norm of each column of (channel, token)."""
    standard = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    return standard * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]


def attention(weights: Parameters, name: str, query: np.ndarray, context: np.ndarray, heads: int) -> np.ndarray:
    """softmax(q^T k / sqrt(d)) v, head by head, of (channel, token) query and context."""
    q, k, v = (
        linear(weights, f"{name}.{part}", x) for part, x in (("query", query), ("key", context), ("value", context))
    )
    size = len(q) // heads
    read = [
        v[h : h + size] @ softmax(q[h : h + size].T @ k[h : h + size] / np.sqrt(size), axis=1).T
        for h in range(0, len(q), size)
    ]
    return linear(weights, f"{name}.project", np.concatenate(read))


def block(weights: Parameters, name: str, x: np.ndarray, heads: int) -> np.ndarray:
    """A transformer block with its norms first."""
    normal = norm(weights, f"{name}.norm", x)
    x = x + attention(weights, f"{name}.attention", normal, normal, heads)
    hidden = linear(weights, f"{name}.mlp.1", norm(weights, f"{name}.mlp.0", x))
    return x + linear(weights, f"{name}.mlp.3", hidden * (1 + erf(hidden / np.sqrt(2))) / 2)


def all_of(there, modalities, channels):
    """[M_1; ...; M_n; available] with zeros where absent."""
    voxels = next(iter(there.values())).shape[1]
    parts = [there.get(m, np.zeros((channels, voxels))) for m in range(modalities)]
    return np.concatenate([*parts, flags(there, modalities, voxels)])
