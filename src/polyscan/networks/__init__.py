"""Encoders, heads, and the network that joins them."""

from polyscan.networks.encoders import Encoder, SegResEncoder, UNetEncoder
from polyscan.networks.fusion_net import FusionNet
from polyscan.networks.heads import ClassificationHead, SegmentationHead

__all__ = ["ClassificationHead", "Encoder", "FusionNet", "SegResEncoder", "SegmentationHead", "UNetEncoder"]
