"""What every task with a known optimum is: subjects that are drawn, and what of them can be known at best."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from polyscan.errors import PolyscanError
from polyscan.phantom.subject import stream

Array = NDArray[np.float64]
Missing = Mapping[str, "float | Sequence[float]"]
"""Modality to the probability that it is missing: one, or one for each class; being missing is then evidence itself."""
Streams = Callable[..., np.random.Generator]
"""A source of chance of its own for each name, so that one more modality changes no other."""


@dataclass(frozen=True)
class Drawn:
    """Subjects of a task.

    Attributes:
        x: (subject, modality, *shape); a modality that is missing is NaN throughout.
        y: (subject,) the class, an index.
        missing: what they were drawn with.
    """

    x: Array
    y: NDArray[np.int64]
    missing: Missing

    @property
    def available(self) -> NDArray[np.bool_]:
        """(subject, modality): which are there."""
        return np.asarray(np.isfinite(self.x).any(axis=tuple(range(2, self.x.ndim))))


class Task(ABC):
    """Classes, equally frequent, that are to be told from vectors or images of several modalities.

    Args:
        description: a sentence: what is to be learnt, and what makes it hard.
        modalities: names, in the order of ``Drawn.x``.
        shape: of what a modality shows: ``(8,)`` of a vector, ``(24, 24)`` of an image.
        classes: names, in the order of the posterior.
    """

    def __init__(
        self, description: str, modalities: Sequence[str], shape: tuple[int, ...], classes: Sequence[str]
    ) -> None:
        self.description = description
        self.modalities = list(modalities)
        self.shape = shape
        self.classes = list(classes)

    @property
    def is_image(self) -> bool:
        """Whether what a modality shows has places, not columns."""
        return len(self.shape) > 1

    @abstractmethod
    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        """What all modalities show of subjects: (subject, modality, *shape)."""

    @abstractmethod
    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        """Log p(what is available | class), (subject, class), up to a number a subject.

        Args:
            x: (subject, modality, *shape).
            available: (modality,): what may be used, the same for all of these subjects.
        """

    def noise(self, subjects: int, streams: Streams) -> Array:
        """White noise of variance 1, (subject, modality, *shape), from a source of each modality."""
        shape = (subjects, *self.shape)
        return np.stack([streams("noise", name).standard_normal(shape) for name in self.modalities], axis=1)

    def draw(self, subjects: int, seed: int, missing: Missing | None = None) -> Drawn:
        """Draw subjects; the same seed draws the same ones, whatever is missing.

        Args:
            subjects: how many.
            seed: another one draws others.
            missing: none where not given. A subject keeps at least one modality: patterns without any are drawn again.

        Raises:
            PolyscanError: ``missing`` names another modality, or is no probability below 1.
        """
        missing = dict(missing or {})
        rates = self._rates(missing)
        streams: Streams = partial(stream, seed, 0)
        y = streams("class").integers(len(self.classes), size=subjects)
        x = self.measure(y, streams)
        chance = streams("missing")
        gone = chance.random((subjects, len(self.modalities))) < rates[y]
        while (none_left := gone.all(axis=1)).any():
            gone[none_left] = chance.random((int(none_left.sum()), len(self.modalities))) < rates[y[none_left]]
        x[gone] = np.nan
        return Drawn(x, y, missing)

    def posterior(self, drawn: Drawn, modalities: Sequence[str] | None = None) -> Array:
        """P(class | what is there), (subject, class): what no method can do better than.

        Args:
            drawn: subjects. What was missing by class is evidence too, and is used.
            modalities: use these alone; all that are there where not given.
        """
        used = [modalities is None or name in modalities for name in self.modalities]
        acquired = drawn.available
        available = acquired & used
        log_p = np.zeros((len(drawn.y), len(self.classes)))
        for pattern in np.unique(available, axis=0):
            rows = (available == pattern).all(axis=1)
            if pattern.any():
                log_p[rows] = self.log_likelihood(drawn.x[rows], pattern)
        rates = self._rates(drawn.missing)  # (class, modality)
        known = np.where(acquired[:, None, :], 1 - rates, rates)[:, :, used]
        with np.errstate(divide="ignore"):
            log_p += np.log(known).sum(axis=2) - np.log1p(-rates.prod(axis=1))
        log_p -= log_p.max(axis=1, keepdims=True)
        p = np.exp(log_p)
        return p / p.sum(axis=1, keepdims=True)

    def accuracy(self, drawn: Drawn, modalities: Sequence[str] | None = None) -> float:
        """The share of these very subjects that the posterior tells right; ``modalities`` as there."""
        return float((self.posterior(drawn, modalities).argmax(axis=1) == drawn.y).mean())

    def without(self, drawn: Drawn, modalities: Sequence[str]) -> Drawn:
        """The same subjects with some modalities gone, for all of them."""
        x = drawn.x.copy()
        x[:, [name in modalities for name in self.modalities]] = np.nan
        return replace(drawn, x=x, missing={**drawn.missing, **dict.fromkeys(modalities, 1.0)})

    def _rates(self, missing: Missing) -> Array:
        """(class, modality)."""
        if unknown := set(missing) - set(self.modalities):
            raise PolyscanError(
                f"{', '.join(sorted(unknown))} cannot be missing; the modalities are {', '.join(self.modalities)}."
            )
        rates = [np.broadcast_to(missing.get(name, 0.0), len(self.classes)) for name in self.modalities]
        found: Array = np.stack(rates, axis=1).astype(float)
        if ((found < 0) | (found > 1)).any() or (found == 1).all(axis=1).any():
            raise PolyscanError("missing holds what is no probability, or leaves a class without any modality.")
        return found


def direction(size: int, *names: str) -> Array:
    """A unit vector, the same each time for the same names: where in a modality's values its evidence lies."""
    vector = stream(0, size, "direction", *names).standard_normal(size)
    return vector / np.linalg.norm(vector)
