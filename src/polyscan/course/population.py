"""How tumours of a population grow and respond: a Gaussian prior of each patient's own growth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json

YEAR = 365.25
"""Days; rates are per year."""
_FORMAT = 1


@dataclass(frozen=True)
class Population:
    """The growth of tumours in a population, and how sure it is: a number of draws from what the cohort left open.

    The logarithm of a patient's volume at time t, of which D(t) lay under treatment, is that of tumour growth
    inhibition (Claret et al., J Clin Oncol 27, 2009, integrated)::

        log V(t) = a + g t - k (1 - exp(-r D(t))) / r + w(t)

    with a size, a growth rate and an effect of treatment that are the patient's own, ``(a, g, k) ~ N(mean,
    covariance)``, a resistance r that is the population's, and a Brownian motion w for what else happens. A measured
    volume has a lognormal error on top.

    Attributes:
        mean: (draw, p) of size (log mL), growth (1/year) and, where p is 3, effect of treatment (1/year).
        covariance: (draw, p, p).
        drift: (draw,) variance of the Brownian motion, per year.
        error: (draw,) variance of the logarithm of a measured volume, beside what a visit says itself.
        resistance: (draw,) per year.
        patients, visits: of how many it was learnt.
        detection_limit: millilitres; less counts as half of it, give or take a factor e.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    drift: NDArray[np.float64]
    error: NDArray[np.float64]
    resistance: NDArray[np.float64]
    patients: int
    visits: int
    detection_limit: float

    @property
    def knows_treatment(self) -> bool:
        """Whether it was learnt from patients with and without treatment, so that one can be told from the other."""
        return self.mean.shape[1] == 3

    def design(self, days: ArrayLike, exposure: ArrayLike) -> NDArray[np.float64]:
        """What size, growth and effect of treatment are multiplied by, (draw, n, p).

        Args:
            days: (n,) since the first visit.
            exposure: (n,) days under treatment until then.
        """
        t, treated = (torch.from_numpy(np.asarray(each, float)) / YEAR for each in (days, exposure))
        return design(t, treated, torch.from_numpy(self.resistance)[:, None], self.mean.shape[1]).numpy()

    def save(self, path: Path) -> None:
        """Write a JSON file, of population figures only."""
        content = {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(self).items()
        }
        write_json(path, {"format_version": _FORMAT, **content})

    @classmethod
    def load(cls, path: Path) -> Population:
        """Read what :meth:`save` wrote.

        Raises:
            PolyscanError: the file is none, or of a newer polyscan.
        """
        content = read_json(path)
        if not isinstance(content, dict) or "format_version" not in content:
            raise PolyscanError(f"{path} is no population; give population.json that polyscan course wrote.")
        if (version := content.pop("format_version")) != _FORMAT:
            raise PolyscanError(f"{path} has format {version}; this polyscan reads format {_FORMAT}: update it.")
        try:
            fields: dict[str, Any] = {k: np.array(v) if isinstance(v, list) else v for k, v in content.items()}
            return cls(**fields)
        except TypeError as error:
            raise PolyscanError(f"{path} is no whole population; make it again with polyscan course.") from error


def design(t: torch.Tensor, treated: torch.Tensor, resistance: torch.Tensor, terms: int) -> torch.Tensor:
    """What size, growth and effect of treatment are multiplied by, (..., terms), of :class:`Population`'s equation.

    Args:
        t: years since the first visit.
        treated: years under treatment until then.
        resistance: per year, to be broadcast with them.
        terms: 3, or 2 without the effect of treatment.
    """
    effect = -(1 - torch.exp(-resistance * treated)) / resistance
    return torch.stack(torch.broadcast_tensors(torch.ones_like(t), t, effect)[:terms], dim=-1)


def logarithms(
    volumes: ArrayLike, deviations: ArrayLike, limit: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of volumes, and the variance that each has by itself.

    Args:
        volumes: (n,) in millilitres.
        deviations: (n,) their standard deviations.
        limit: less than this counts as half of it, with a standard deviation of 1 in the logarithm.
    """
    volumes, deviations = np.asarray(volumes, float), np.asarray(deviations, float)
    seen = volumes >= limit
    logs = np.log(np.where(seen, volumes, limit / 2))
    return logs, np.where(seen, np.log1p((deviations / np.where(seen, volumes, 1)) ** 2), 1.0)
