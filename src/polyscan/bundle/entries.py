"""What may be given for the entries of a bundle's config that people change, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Len, Lt, MultipleOf, Predicate
from monai.bundle.utils import EXPR_KEY, ID_REF_KEY
from pydantic import FiniteFloat, Strict, TypeAdapter, ValidationError

from polyscan.errors import PolyscanError

Number = Annotated[FiniteFloat, Strict()]
Natural = Annotated[Number, Ge(0), MultipleOf(1)]
Count = Annotated[Number, Ge(1), MultipleOf(1)]
Part = Annotated[Number, Ge(0), Lt(1)]
Positive = Annotated[Number, Gt(0)]
Edge = Count | Literal[-1]
Window = Annotated[list[Number], Len(2, 2), Predicate(lambda ends: ends[0] < ends[1])]


@dataclass(frozen=True)
class Kind:
    """What may stand in an entry, and how that is called."""

    type: Any
    name: str

    def holds(self, value: Any) -> bool:
        """Whether a value is of this kind."""
        try:
            TypeAdapter(self.type).validate_python(value)
        except ValidationError:
            return False
        return True


COUNT = Kind(Count, "a whole number of 1 or more")
NATURAL = Kind(Natural, "a whole number of 0 or more")
NOT_NEGATIVE = Kind(Annotated[Number, Ge(0)], "a number of 0 or more")
POSITIVE = Kind(Positive, "a number above 0")
PART = Kind(Part, "a number from 0 to below 1")
EDGES = Kind(
    Annotated[list[Edge], Len(2, 3)], "a list of two or three whole numbers of 1 or more, or -1 for a whole edge"
)

ENTRIES = {
    **dict.fromkeys(("max_epochs", "batch_size", "num_samples", "accumulation_steps", "patience"), COUNT),
    **dict.fromkeys(("val_interval", "checkpoint_interval", "utilisation_interval"), COUNT),
    **dict.fromkeys(("seed", "num_workers", "deep_supervision", "hidden"), NATURAL),
    **dict.fromkeys(("learning_rate", "encoder_learning_rate", "clip_gradients"), POSITIVE),
    **dict.fromkeys(("modulation", "focal"), NOT_NEGATIVE),
    **dict.fromkeys(("warm_up", "ema_decay", "overlap", "dropout", "modality_dropout_rise"), PART),
    **dict.fromkeys(("roi_size", "inferer_roi_size"), EDGES),
    "fold": Kind(Natural | Literal["all"] | None, "a fold of the manifest, or all"),
    "modality_dropout": Kind(Part | Annotated[list[Part], Len(1)], f"{PART.name} or a list of one for each modality"),
    "spacing": Kind(Annotated[list[Positive], Len(3, 3)], "a list of three numbers above 0, in mm"),
    "regions": Kind(
        Annotated[dict[str, Annotated[list[Natural], Len(1)]], Len(1)], "a list of labels of the mask by name"
    ),
    "windows": Kind(dict[str, Window], "[lowest, highest] by name"),
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
