"""Translate scans of one kind into another, learnt from patients of whom none needs to have both."""

from polyscan.translation.cycle_gan import CycleGAN
from polyscan.translation.fidelity import Fidelity, fidelity
from polyscan.translation.fill import Filled, fill_missing
from polyscan.translation.generator import ResNetGenerator
from polyscan.translation.learn import learn_translation
from polyscan.translation.structure import mind
from polyscan.translation.translator import Intensities, Translation, Translator

__all__ = [
    "CycleGAN",
    "Fidelity",
    "Filled",
    "Intensities",
    "ResNetGenerator",
    "Translation",
    "Translator",
    "fidelity",
    "fill_missing",
    "learn_translation",
    "mind",
]
