"""The steps of a protocol: MONAI transforms on one study's dictionary, each of which records what it did.

The dictionary holds a :class:`MetaTensor` under the name of each modality that is there, ``label`` and ``foreground``
where known, and under ``record`` the :class:`Record` that becomes the sidecars and the manifest's entry.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.transforms import Transform

from polyscan import __version__
from polyscan.errors import PolyscanError
from polyscan.formats.endings import is_volume
from polyscan.formats.read import read_image, read_label
from polyscan.geometry import image_of, same_grid
from polyscan.modality import modality
from polyscan.preprocess.grids import common_grid, moved
from polyscan.preprocess.mask import same_outline
from polyscan.preprocess.resample import resample, widen_point_spread
from polyscan.registration import register_study
from polyscan.study import Grid, RegistrationRecord, Study


@dataclass
class Record:
    """What was done to a study.

    Attributes:
        study: as it stood in the manifest.
        registered: whether the study's scans are said to be registered to each other already.
        reference: the modality whose grid the others are brought to.
        steps: modality to what was done to it, in order.
        transforms: modality to its SimpleITK transform, from points of the reference to its own points.
        grids: modality to the grid that it was acquired on.
        registrations: modality to whether its registration is trusted and why.
        problems: modality, or ``label``, to the sentence that says why it was left out or what is odd about it.
        repairs: modality to what of it was repaired or had to be assumed when it was read.
        seconds: step to the time that it took.
    """

    study: Study
    registered: bool = False
    reference: str = ""
    steps: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    transforms: dict[str, Any] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    registrations: dict[str, RegistrationRecord] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    repairs: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Step(Transform):
    """One step: a subclass writes ``apply``; time is taken here."""

    name = "step"

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Apply the step to a copy of the dictionary."""
        out, start = dict(data), time.perf_counter()
        self.apply(out, out["record"])
        out["record"].seconds[self.name] = round(time.perf_counter() - start, 3)
        return out

    def apply(self, data: dict[str, Any], record: Record) -> None:
        """Change the dictionary."""
        raise NotImplementedError

    def leave_out(self, data: dict[str, Any], record: Record, modality: str, reason: str) -> None:
        """Go on without a modality, and say why."""
        del data[modality]
        record.transforms.pop(modality, None)
        before = record.problems.get(modality)
        record.problems[modality] = "; ".join(filter(None, [before, f"left out: {reason}"]))

    def tell(self, record: Record, modality: str, **what: Any) -> None:
        """Add to what was done to a modality."""
        record.steps.setdefault(modality, []).append({"name": self.name, **what, "package": f"polyscan {__version__}"})


_COPY = "it has the same voxels as {}: leave it out where it is a copy that stands in for a scan that was not made"


def _same_voxels(one: MetaTensor, other: MetaTensor) -> bool:
    """Of scans that differ a sixteenth of the rows tells so, in a thirtieth of the time."""
    x, y = one.numpy(), other.numpy()
    parts = ((x[:, ::16], y[:, ::16]), (x, y))
    return x.shape == y.shape and all(np.array_equal(*part, equal_nan=True) for part in parts)


class LoadScansd(Step):
    """Read the scans and the label of a study and choose the reference.

    A scan that cannot be read is left out with the reason; so is a label that does not fit its scan. A scan with the
    voxels of another is noted: some data sets fill in so for one that was not made.

    Args:
        modalities: what to read; others of the study are left alone.
        reference: order in which modalities are preferred as reference.

    Raises:
        PolyscanError: a modality is not known or one of ``reference`` is not read; or, of a study, not one scan could
            be read.
    """

    name = "read"

    def __init__(self, modalities: Sequence[str], reference: Sequence[str]) -> None:
        for name in modalities:
            modality(name)
        if unread := sorted(set(reference) - set(modalities)):
            raise PolyscanError(
                f"reference names {', '.join(unread)}, which is not among the modalities that are read."
            )
        self.modalities = list(modalities)
        self.reference = list(reference)

    def apply(self, data: dict[str, Any], record: Record) -> None:
        wanted = {name: scan for name, scan in record.study.scans.items() if name in self.modalities}
        for name, scan in wanted.items():
            try:
                image = read_image(scan.source, name, scan.given)
            except PolyscanError as error:
                record.problems[name] = f"left out: {error}"
                continue
            if not np.isfinite(image.numpy()).any():
                record.problems[name] = "left out: it holds no finite value"
                continue
            doubts = list(image.meta.get("doubts", []))
            doubts += [_COPY.format(other) for other in present(data) if _same_voxels(image, data[other])][:1]
            data[name] = image
            record.grids[name] = Grid(list(image.shape[1:]), image.affine.tolist())
            repaired = [each for each in dict.fromkeys([*image.meta["problems"], *scan.notes]) if each not in doubts]
            if repaired:
                record.repairs[name] = "; ".join(repaired)
            if doubts:
                record.problems[name] = "; ".join(doubts)
            self.tell(record, name, unit=data[name].meta["unit"], repaired=repaired)
        available = present(data)
        if not available:
            why = [problem.removeprefix("left out: ") for problem in record.problems.values()]
            reasons = "; ".join(dict.fromkeys(why)) or f"it has {', '.join(record.study.scans) or 'no scan'}"
            raise PolyscanError(f"none of {', '.join(self.modalities)} can be used: {reasons}")
        record.reference = next((name for name in self.reference if name in available), available[0])
        self._label(data, record)

    def _label(self, data: dict[str, Any], record: Record) -> None:
        label = record.study.label
        if label.mask is None:
            return
        drawn_on = label.drawn_on or record.reference
        if drawn_on not in present(data):
            record.problems["label"] = f"left out: it was drawn on {drawn_on}, which is not there"
            return
        try:
            data["label"] = read_label(label, data[drawn_on])
        except PolyscanError as error:
            record.problems["label"] = f"left out: {error}"
            return
        if doubts := data["label"].meta.get("doubts"):
            record.problems["label"] = "; ".join(doubts)


class RegisterRigidd(Step):
    """Register each scan to the reference by mutual information.

    What is registered already stays: every scan of a :class:`Record` that says so; files of a volume that the manifest
    names as ``aligned``, which only a person or the ``space-`` of a BIDS name can have said, since such files have no
    frame of reference; and what lies on the reference's grid, cut out with the same mask
    (:func:`polyscan.preprocess.mask.same_outline`).

    Args:
        within_frame: whether scans that share the reference's DICOM frame of reference are registered too. A PET/CT
            needs no registration; in a long MRI session the patient may have moved.
        keep_untrusted: whether a scan whose registration cannot be trusted is kept where its header puts it, instead
            of being left out; both are said.
        seed: of the random samples.
    """

    name = "register"

    def __init__(self, within_frame: bool = False, keep_untrusted: bool = False, seed: int = 0) -> None:
        self.within_frame = within_frame
        self.keep_untrusted = keep_untrusted
        self.seed = seed

    def apply(self, data: dict[str, Any], record: Record) -> None:
        others = [name for name in present(data) if name != record.reference]
        in_place = {name: why for name in others if (why := self._in_place(data, record, name))}
        for name, why in in_place.items():
            self.tell(record, name, result=f"not registered: {why}")
        free = [name for name in others if name not in in_place]
        if not free:
            return
        every = register_study(data[record.reference], [data[name] for name in free], seed=self.seed)
        for name, found in zip(free, every, strict=True):
            record.registrations[name] = RegistrationRecord(found.trusted, found.reason)
            self.tell(
                record,
                name,
                engine=found.engine,
                seed=self.seed,
                trusted=found.trusted,
                result=found.reason,
                measures={measure: float(f"{value:.4g}") for measure, value in found.measures.items()},
                mutual_information=[round(value, 4) for value in found.mutual_information],
            )
            if found.trusted:
                record.transforms[name] = found.transform
            elif self.keep_untrusted:
                record.problems[name] = f"kept where its header puts it, unregistered: {found.reason}"
            else:
                self.leave_out(data, record, name, f"its registration cannot be trusted: {found.reason}")

    def _in_place(self, data: dict[str, Any], record: Record, name: str) -> str:
        """Why a scan needs no registration; empty where it does."""
        study, reference = record.study, record.reference
        together = {name, reference} <= set(study.aligned)
        if record.registered or (together and _told(study, name) and _told(study, reference)):
            return "said to be so already"
        one_grid = same_grid(data[name], data[reference], tolerance=0.01)
        if one_grid and same_outline(data[name][0].numpy(), data[reference][0].numpy()):
            return "on one grid, cut out with one mask"
        if together and not self.within_frame:
            return "same frame of reference as the reference"
        return ""


class Resampled(Step):
    """Bring each scan and the label onto one grid, with one interpolation of each.

    A scan of which nothing lies on the grid, or on the reference's where all keep their own, is left out.

    Args:
        resolution: ``"reference"``, ``"finest"``, ``"coarsest"``, or millimetres; see
            :func:`polyscan.preprocess.grids.common_grid`. ``"native"`` keeps every scan on its own grid, for networks
            that take several resolutions: its registration then changes its affine only.
        field_of_view: ``"reference"``, ``"union"`` or ``"intersection"``.
        point_spread: modality to the full width at half maximum of its point spread in millimetres; sharper scans are
            then smoothed to the widest of those that are there.
    """

    name = "resample"

    def __init__(
        self,
        resolution: str | float | Sequence[float] = "reference",
        field_of_view: str = "reference",
        point_spread: Mapping[str, float] | None = None,
    ) -> None:
        self.resolution = resolution
        self.field_of_view = field_of_view
        self.point_spread = dict(point_spread or {})

    def apply(self, data: dict[str, Any], record: Record) -> None:
        names = present(data)
        grid = self._grid(data, record)
        widest = max((self.point_spread[name] for name in names if name in self.point_spread), default=0.0)
        for name in names:
            what = {}
            if self.point_spread.get(name, widest) < widest:
                data[name] = widen_point_spread(data[name], self.point_spread[name], widest)
                what["point_spread"] = f"smoothed from {self.point_spread[name]:g} to {widest:g} mm"
            how = self._bring(data, record, name, grid)
            if how:
                self.tell(record, name, **how, **what)
            else:
                self.leave_out(data, record, name, f"nothing of it lies in the field of view of {record.reference}")
        if "label" in data:
            drawn_on = record.study.label.drawn_on or record.reference
            if drawn_on in data:
                data["label"] = resample(data["label"], grid, record.transforms.get(drawn_on), label=True)
            else:
                del data["label"]
                record.problems["label"] = f"left out: it was drawn on {drawn_on}, which was left out"

    def _grid(self, data: dict[str, Any], record: Record) -> MetaTensor:
        """The one that scans are brought to; the reference's where all keep their own."""
        if self.resolution == "native":
            return data[record.reference]
        return common_grid(
            {name: data[name] for name in present(data)},
            record.reference,
            record.transforms,
            resolution=self.resolution,
            field_of_view=self.field_of_view,
        )

    def _bring(self, data: dict[str, Any], record: Record, name: str, grid: MetaTensor) -> dict[str, str]:
        """Bring a scan to the grid, or through its registration only; how, or nothing where none of it lies there."""
        image, transform = data[name], record.transforms.get(name)
        if self.resolution == "native":
            data[name] = moved(image, transform)
            return {"interpolation": "none: moved by its affine"} if _overlap(data[name], grid) else {}
        untouched = transform is None and same_grid(image, grid, tolerance=1e-3)
        data[name] = resample(image, grid, transform)
        how = "untouched" if untouched else "cubic B-spline within the scan's own range"
        return {"interpolation": how, "outside": "NaN"} if np.isfinite(data[name].numpy()).any() else {}


def _told(study: Study, name: str) -> bool:
    """Whether it can only be from a person or a file's name that a scan is known to be aligned."""
    source = study.scans[name].source
    return isinstance(source, str) and is_volume(source)


def _overlap(image: MetaTensor, grid: MetaTensor) -> bool:
    """Whether any voxel of a grid lies where an image was measured."""
    available = image_of(np.isfinite(image[0].numpy()).astype(np.uint8), image.affine)
    return bool(resample(available, grid, label=True).any())


def present(data: Mapping[str, Any]) -> list[str]:
    """The modalities that a dictionary holds."""
    return [name for name in data if name not in ("record", "label", "foreground")]
