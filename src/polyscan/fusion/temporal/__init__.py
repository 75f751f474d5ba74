"""Scans of one patient over time: time points stand where modalities stand elsewhere, with the days between them."""

from polyscan.fusion.temporal.attention import TemporalAttention
from polyscan.fusion.temporal.base import TemporalFusion
from polyscan.fusion.temporal.concatenation import TemporalConcatenation
from polyscan.fusion.temporal.difference import TemporalDifference

__all__ = ["TemporalAttention", "TemporalConcatenation", "TemporalDifference", "TemporalFusion"]
