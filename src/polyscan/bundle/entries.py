"""What may be given for the entries of a bundle's config that people change, before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import Any

from monai.bundle.utils import EXPR_KEY, ID_REF_KEY

from polyscan.bundle.items import ALL
from polyscan.errors import PolyscanError


@dataclass(frozen=True)
class Kind:
    """What may stand in an entry, and how that is called."""

    holds: Callable[[Any], bool]
    name: str


def numbers(least: float, below: float = inf, *, whole: bool = False, name: str) -> Kind:
    """Numbers from ``least`` on."""

    def holds(value: Any) -> bool:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        return is_number and least <= value < below and (not whole or value == int(value))

    return Kind(holds, name)


def lists(of: Kind, lengths: Collection[int] = (), *, name: str) -> Kind:
    """Lists of a kind, of any length but none where no lengths are said."""

    def holds(value: Any) -> bool:
        is_list = isinstance(value, (list, tuple)) and (len(value) in lengths if lengths else len(value) > 0)
        return is_list and all(map(of.holds, value))

    return Kind(holds, name)


def named(of: Kind, *, least: int) -> Kind:
    """Something of a kind by name, for so many names at least."""

    def holds(value: Any) -> bool:
        return isinstance(value, Mapping) and len(value) >= least and all(map(of.holds, value.values()))

    return Kind(holds, f"{of.name} by name")


def either(*kinds: Kind) -> Kind:
    """Any of some kinds."""
    return Kind(lambda value: any(kind.holds(value) for kind in kinds), " or ".join(kind.name for kind in kinds))


COUNT = numbers(1, whole=True, name="a whole number of 1 or more")
NATURAL = numbers(0, whole=True, name="a whole number of 0 or more")
NOT_NEGATIVE = numbers(0, name="a number of 0 or more")
POSITIVE = numbers(5e-324, name="a number above 0")
PART = numbers(0, 1, name="a number from 0 to below 1")
EDGE = Kind(lambda value: COUNT.holds(value) or value == -1, "a whole number, or -1 for all")
EDGES = lists(EDGE, (2, 3), name="a list of two or three whole numbers of 1 or more, or -1 for a whole edge")
TWO = lists(numbers(-inf, name="a number"), (2,), name="two numbers")
WINDOW = Kind(lambda value: TWO.holds(value) and value[0] < value[1], "[lowest, highest]")
LABELS = lists(NATURAL, name="a list of labels of the mask")

FOLD = Kind(lambda value: value is None or value == ALL or NATURAL.holds(value), f"a fold of the manifest, or {ALL}")

ENTRIES = {
    **dict.fromkeys(("max_epochs", "batch_size", "num_samples", "accumulation_steps", "patience"), COUNT),
    **dict.fromkeys(("val_interval", "checkpoint_interval", "utilisation_interval"), COUNT),
    **dict.fromkeys(("seed", "num_workers", "deep_supervision", "hidden"), NATURAL),
    **dict.fromkeys(("learning_rate", "encoder_learning_rate", "clip_gradients"), POSITIVE),
    **dict.fromkeys(("modulation", "focal"), NOT_NEGATIVE),
    **dict.fromkeys(("warm_up", "ema_decay", "overlap", "dropout"), PART),
    "fold": FOLD,
    "modality_dropout": either(PART, lists(PART, name="a list of one for each modality")),
    "spacing": lists(POSITIVE, (3,), name="a list of three numbers above 0, in mm"),
    **dict.fromkeys(("roi_size", "inferer_roi_size"), EDGES),
    "regions": named(LABELS, least=1),
    "windows": named(WINDOW, least=0),
}
"""The kind of each entry that is more than the kind of what a bundle has in it."""

KINDS = ((bool, bool, "true or false"), ((int, float), (int, float), "a number"), (list, (list, tuple, str), "a list"))
"""What an entry is in a bundle's config, what may take its place, and how that is called."""


def check_entry(key: str, own: Any, value: Any, where: str) -> None:
    """Refuse a value that cannot stand in an entry.

    What gives a value later passes: an object to make, an expression, or a reference to another entry.

    Args:
        key: the entry.
        own: what the bundle has in it.
        value: what is to take its place.
        where: the bundle's config.

    Raises:
        PolyscanError: it cannot.
    """
    if isinstance(value, Mapping) and "_target_" in value:
        return
    if isinstance(value, str) and value.startswith((EXPR_KEY, ID_REF_KEY)):
        return
    if key in ENTRIES:
        if not ENTRIES[key].holds(value):
            raise PolyscanError(f"{key} is {ENTRIES[key].name} ({own!r} in {where}), not {value!r}.")
        return
    for kind, taken, name in KINDS:
        if isinstance(own, kind):
            if not isinstance(value, taken):
                raise PolyscanError(f"{key} is {name} in {where} ({own!r}), not {value!r}.")
            return
