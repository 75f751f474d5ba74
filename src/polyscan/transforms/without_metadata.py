"""Random transforms of training without MONAI's record of what each of them did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.data import MetaTensor, get_track_meta, set_track_meta
from monai.transforms import Compose


class ComposeWithoutMetadata(Compose):
    """``monai.transforms.Compose`` of dictionary transforms that changes plain tensors.

    What a transform did to a ``MetaTensor`` is written down so that it can be inverted, which no training asks for.
    For a slice that costs more than the transforms themselves. The same seed draws the same values either way.

    Args:
        transforms: as in ``monai.transforms.Compose``, behind which nothing asks for an affine matrix.
    """

    def __call__(self, input_: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # as Compose has it
        """Turn the items of a dictionary into plain tensors, and apply every transform to it."""
        tracked = get_track_meta()
        set_track_meta(False)
        try:
            return super().__call__(_plain(input_), *args, **kwargs)
        finally:
            set_track_meta(tracked)


def _plain(item: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value.as_tensor() if isinstance(value, MetaTensor) else value for key, value in item.items()}
