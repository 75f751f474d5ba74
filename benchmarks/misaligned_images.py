"""What keeps networks from the best possible on ``misalignment_images``: by how far the second scan is moved.

    python benchmarks/misaligned_images.py [--subjects 1200 4800 9600]

Trains concatenation at the first level as the protocol has it, once from each number of subjects, and asks it for 2000
others. Beside it, from as many subjects, the best weighted sum of the second scan about the lesion's place, which is
given away: all that a product of the two scans with fixed weights, the simplest thing that tells anything, can know.
Before that, what could be known at best of the same subjects by who sees the second scan only so many pixels about
that place. Two minutes of one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from polyscan.compare import load_cohort, read_protocol
from polyscan.compare.network import TrainedNetwork
from polyscan.compare.protocol import Protocol
from polyscan.phantom.subject import stream
from polyscan.phantom.tasks.lesion import PLACES, SHAPE, images
from polyscan.phantom.tasks.misalignment_images import MisalignmentImages

ABOUT = 6
"""Pixels about the lesion that the weighted sum reads, along each axis: a lesion of 5 x 5 moved by 2, and beyond."""
TRAINING, TESTING = 1, 2
"""Seeds; the protocol's own subjects are of another."""


def drawn(protocol: Protocol, subjects: int, seed: int) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """Images (subject, modality, x, y) and classes."""
    cohort = load_cohort(replace(protocol, cohort={**protocol.cohort, "subjects": subjects, "seed": seed}))
    return cohort.x, cohort.y


def places(subjects: int, seed: int) -> NDArray[np.int64]:
    """(subject,) where the first scan shows a lesion, drawn again."""
    return stream(seed, 0, "place").integers(len(PLACES), size=subjects)


def seen_within(pixels: int, task: MisalignmentImages, x: torch.Tensor, y: NDArray[np.int64], seed: int) -> float:
    """Accuracy of the posterior of who sees the second scan so many pixels about the lesion, whose place is known.

    As the law of the task has it, with templates T cut off to what is seen: their energy no longer cancels, and
    p(x | y) is the mean over shifts s of the product over places of exp(-b^2 |T|^2 / 2) times exp((2y - 1) b <x, T>)
    at the lesion, and cosh(b <x, T>) elsewhere.
    """
    shifts = product(range(-task.shift, task.shift + 1), repeat=2)
    templates = np.stack([images(task.contrast * np.eye(len(PLACES)), shift) for shift in shifts])
    along = np.arange(SHAPE[0])
    right, place = 0, places(len(x), seed)
    for p, (i, j) in enumerate(PLACES):
        seen = (abs(along - i) <= pixels)[:, None] & (abs(along - j) <= pixels)
        part = templates[..., seen]
        told = np.einsum("nv,spv->nsp", x[place == p, 1].numpy()[:, seen], part)
        energy = (part**2).sum(-1) / 2
        either = np.logaddexp(-told, told) - np.log(2) - energy
        others = either.sum(2) - either[..., p] - energy[:, p]
        for_each = [logsumexp(others + sign * told[..., p], axis=1) for sign in (-1, 1)]
        right += int((np.argmax(for_each, axis=0) == y[place == p]).sum())
    return right / len(y)


def about_lesion(x: torch.Tensor, seed: int) -> NDArray[np.float32]:
    """(subject, value): the second scan about the place where the first shows a lesion."""
    padded = np.pad(x[:, 1].numpy(), ((0, 0), (ABOUT, ABOUT), (ABOUT, ABOUT)))
    edge = 2 * ABOUT + 1
    about = PLACES[places(len(x), seed)]
    return np.stack([one[i : i + edge, j : j + edge].ravel() for one, (i, j) in zip(padded, about, strict=True)])


def main() -> None:
    """Print accuracy by the largest shift along an axis."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, nargs="*", default=[1200, 4800, 9600])
    options = parser.parse_args()
    torch.set_num_threads(1)
    protocol = read_protocol("misalignment_images")
    task = MisalignmentImages(**protocol.cohort["options"])
    shift = task.shift
    asked, truth = drawn(protocol, 2000, TESTING)
    largest = abs(stream(TESTING, 0, "shift").integers(-shift, shift + 1, size=(len(truth), 2))).max(1)
    for pixels in (2, 3, 4, max(SHAPE)):
        print(f"- within {pixels} pixels: {seen_within(pixels, task, asked, truth, TESTING):.3f}")
    print("\n| subjects | what | on its own subjects | on others |", *[f"moved by {k} |" for k in range(shift + 1)])
    print("|---" * (5 + shift) + "|")
    for subjects in options.subjects:
        x, y = drawn(protocol, subjects, TRAINING)
        strategy = protocol.strategies["concatenation at the first level"]
        network = TrainedNetwork(strategy, protocol, x, torch.from_numpy(y), 2, seed=0)
        rule = LogisticRegression(C=0.01, max_iter=300).fit(about_lesion(x, TRAINING), y)
        told = {
            "network": (network.probabilities(x), network.probabilities(asked)),
            "weighted sum": tuple(rule.predict_proba(about_lesion(*of)) for of in ((x, TRAINING), (asked, TESTING))),
        }
        for what, (own, others) in told.items():
            right = others.argmax(1) == truth
            each = [float((own.argmax(1) == y).mean()), float(right.mean())]
            each += [float(right[largest == k].mean()) for k in range(shift + 1)]
            print(f"| {subjects} | {what} |", *[f"{one:.3f} |" for one in each], flush=True)


if __name__ == "__main__":
    main()
