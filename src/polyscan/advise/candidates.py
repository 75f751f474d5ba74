"""The ways to fuse among which advice chooses, and for which there are stored results."""

from __future__ import annotations

from typing import Literal

from polyscan.compare.protocol import CONCATENATION, OUTPUT_MEAN, Strategy

Place = Literal["input", "single-level", "hierarchical", "attention", "output"]

COMPARED = {
    "concatenation at the input": Strategy(fuse_at="input"),
    "concatenation at the input, not dropped out": Strategy(fuse_at="input", missing="available"),
    "concatenation at every level": Strategy(fuse_at=(0, 1)),
    "concatenation, not dropped out": Strategy(missing="available"),
    "concatenation, mean imputation": Strategy(missing="MeanImputation"),
    "concatenation, distillation": Strategy(missing="Distillation"),
    "gated sum": Strategy("GatedSum"),
    "attention weighted": Strategy("AttentionWeighted"),
    "self-attention": Strategy("SelfAttention"),
    "mixture of experts": Strategy("MixtureOfExperts"),
    "low-rank bilinear": Strategy("LowRankBilinear"),
    "low-rank bilinear, not dropped out": Strategy("LowRankBilinear", missing="available"),
    "product of output probabilities": Strategy("polyscan.fusion.output.LogarithmicPool", "output"),
}
"""Name to strategy, as a protocol of ``polyscan compare`` has them."""

CANDIDATES = {
    CONCATENATION: Strategy(),
    OUTPUT_MEAN: Strategy("polyscan.fusion.output.MeanProbability", "output"),
    **COMPARED,
}
"""With the two that every comparison has."""


def place_of(strategy: Strategy) -> Place:
    """Where a strategy joins modalities; attention is a place of its own, as it decides anew for each study."""
    if strategy.fuse_at in ("input", "output"):
        return "input" if strategy.fuse_at == "input" else "output"
    if "Attention" in strategy.fusion:
        return "attention"
    return "hierarchical" if len(strategy.fuse_at) > 1 else "single-level"
