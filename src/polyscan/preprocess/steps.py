"""The steps of a protocol: MONAI transforms on one study's dictionary, each of which records what it did.

The dictionary holds a :class:`MetaTensor` under the name of each modality that is there, ``label`` and ``foreground``
where known, and under ``record`` the :class:`Record` that becomes the sidecars and the manifest's entry.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from polyscan.errors import PolyscanError
from polyscan.formats.endings import is_volume
from polyscan.formats.read import read_image, read_label
from polyscan.geometry import same_grid, to_sitk
from polyscan.preprocess.grids import coarser, common_grid, moved
from polyscan.preprocess.mask import same_outline
from polyscan.preprocess.resample import anti_alias, resample, widen_point_spread
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

    def tell(self, record: Record, modality: str, package: str, **what: Any) -> None:
        """Add to what was done to a modality."""
        entry = {"name": self.name, **what, "package": f"{package} {version(package)}"}
        record.steps.setdefault(modality, []).append(entry)


class LoadScansd(Step):
    """Read the scans and the label of a study and choose the reference.

    A scan that cannot be read is left out with the reason; so is a label that does not fit its scan.

    Args:
        modalities: what to read; others of the study are left alone.
        reference: order in which modalities are preferred as reference.

    Raises:
        PolyscanError: not one scan could be read.
    """

    name = "read"

    def __init__(self, modalities: Sequence[str], reference: Sequence[str]) -> None:
        self.modalities = list(modalities)
        self.reference = list(reference)

    def apply(self, data: dict[str, Any], record: Record) -> None:
        """See :class:`Step`."""
        wanted = {name: scan for name, scan in record.study.scans.items() if name in self.modalities}
        for name, scan in wanted.items():
            try:
                image = read_image(scan.source, name, scan.given)
            except PolyscanError as error:
                record.problems[name] = f"left out: {error}"
                continue
            if not torch.isfinite(image).any():
                record.problems[name] = "left out: it holds no finite value"
                continue
            data[name] = image
            record.grids[name] = Grid(list(image.shape[1:]), image.affine.tolist())
            doubts = image.meta.get("doubts", [])
            repaired = [each for each in dict.fromkeys([*image.meta["problems"], *scan.notes]) if each not in doubts]
            if repaired:
                record.repairs[name] = "; ".join(repaired)
            if doubts:
                record.problems[name] = "; ".join(doubts)
            self.tell(record, name, "polyscan", unit=data[name].meta["unit"], repaired=repaired)
        available = present(data)
        if not available:
            why = [problem.removeprefix("left out: ") for problem in record.problems.values()]
            reasons = "; ".join(dict.fromkeys(why)) or f"it has {', '.join(record.study.scans)}"
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


class RegisterRigidd(Step):
    """Register each scan to the reference by mutual information.

    What is registered already stays: every scan of a :class:`Record` that says so; files of a volume that the manifest
    names as ``aligned``, which only a person or the ``space-`` of a BIDS name can have said, since such files have no
    frame of reference; and what lies on the reference's grid, cut out with the same mask
    (:func:`polyscan.preprocess.mask.same_outline`).

    Args:
        within_frame: whether scans that share the reference's DICOM frame of reference are registered too. A PET/CT
            needs no registration; in a long MRI session the patient may have moved.
        keep_untrusted: whether a scan whose registration cannot be trusted is kept where its header puts it. It is
            left out else; both are said.
        seed: of the random samples.
    """

    name = "register"

    def __init__(self, within_frame: bool = False, keep_untrusted: bool = False, seed: int = 0) -> None:
        self.within_frame = within_frame
        self.keep_untrusted = keep_untrusted
        self.seed = seed

    def apply(self, data: dict[str, Any], record: Record) -> None:
        """See :class:`Step`."""
        aligned, reference = record.study.aligned, record.reference
        free = []
        for name in [name for name in present(data) if name != reference]:
            together = {name, reference} <= set(aligned)
            if record.registered or (together and _told(record.study, name) and _told(record.study, reference)):
                self.tell(record, name, "polyscan", result="not registered: said to be so already")
            elif same_grid(data[name], data[reference], tolerance=0.01) and same_outline(
                data[name][0].numpy(), data[reference][0].numpy()
            ):
                self.tell(record, name, "polyscan", result="not registered: on one grid, cut out with one mask")
            elif together and not self.within_frame:
                self.tell(record, name, "polyscan", result="not registered: same frame of reference as the reference")
            else:
                free.append(name)
        every = register_study(to_sitk(data[reference]), [to_sitk(data[name]) for name in free], seed=self.seed)
        for name, found in zip(free, every, strict=True):
            record.registrations[name] = RegistrationRecord(found.trusted, found.reason)
            self.tell(
                record,
                name,
                "polyscan",
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
        """See :class:`Step`."""
        names = present(data)
        images = {name: data[name] for name in names}
        native = self.resolution == "native"
        grid = data[record.reference]
        if not native:
            grid = common_grid(
                images,
                record.reference,
                record.transforms,
                resolution=self.resolution,
                field_of_view=self.field_of_view,
            )
        widest = max((self.point_spread[name] for name in names if name in self.point_spread), default=0.0)
        for name in names:
            transform, what = record.transforms.get(name), {}
            if name in self.point_spread and self.point_spread[name] < widest:
                data[name] = widen_point_spread(data[name], self.point_spread[name], widest)
                what["point_spread"] = f"smoothed from {self.point_spread[name]:g} to {widest:g} mm"
            if native:
                data[name] = moved(data[name], transform)
                if not _overlap(data[name], grid):
                    self.leave_out(data, record, name, f"nothing of it lies in the field of view of {record.reference}")
                    continue
                self.tell(record, name, "polyscan", interpolation="none: moved by its affine", **what)
                continue
            untouched = transform is None and same_grid(data[name], grid, tolerance=1e-3)
            data[name] = resample(data[name], grid, transform)
            if not torch.isfinite(data[name]).any():
                self.leave_out(data, record, name, f"nothing of it lies in the field of view of {record.reference}")
                continue
            how = "untouched" if untouched else "cubic B-spline within the scan's own range"
            self.tell(record, name, "polyscan", interpolation=how, outside="NaN", **what)
        if "label" in data:
            drawn_on = record.study.label.drawn_on or record.reference
            if drawn_on in data:
                data["label"] = resample(data["label"], grid, record.transforms.get(drawn_on), label=True)
            else:
                del data["label"]
                record.problems["label"] = f"left out: it was drawn on {drawn_on}, which was left out"


class AntiAliasd(Transform):
    """Smooth images before a coarser spacing is taken; see :func:`polyscan.preprocess.resample.anti_alias`.

    For bundles, in front of MONAI's ``Spacingd``, which does not do so itself.

    Args:
        keys: images (channel, x, y, z).
        spacing: that follows, in millimetres along the images' axes.
    """

    def __init__(self, keys: str | Sequence[str], spacing: Sequence[float]) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)
        self.spacing = list(spacing)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy with the images smoothed."""
        return {**data, **{key: anti_alias(data[key], self.spacing) for key in self.keys}}


class PackScalesd(Transform):
    """Pack scans of their own resolution into the finest grid; see :class:`polyscan.networks.PackedScales`.

    A scan that enters at level k is brought, with one interpolation, to the image's grid with voxels 2^k times as
    large; each of those then stands 2^k times along each axis.

    Args:
        keys: images (modality, x, y, z) whose coarse channels are empty; beside each, under ``<key>_coarse``, modality
            to the scan on its own grid, which is taken out.
        modalities: order of the channels.
        enters: modality to its level.
    """

    def __init__(self, keys: str | Sequence[str], modalities: Sequence[str], enters: Mapping[str, int]) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)
        self.modalities = list(modalities)
        self.enters = dict(enters)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy with the scans packed."""
        out = dict(data)
        for key in self.keys:
            image = out[key].clone()
            for name, scan in out.pop(f"{key}_coarse").items():
                factor = 2 ** self.enters[name]
                values = resample(scan, coarser(image, factor)).as_tensor()
                for axis in (1, 2, 3):
                    values = values.repeat_interleave(factor, axis)
                image[self.modalities.index(name)] = values[0, : image.shape[1], : image.shape[2], : image.shape[3]]
            out[key] = image
        return out


def _told(study: Study, name: str) -> bool:
    """Whether it can only be from a person or a file's name that a scan is known to be aligned."""
    source = study.scans[name].source
    return isinstance(source, str) and is_volume(source)


def _overlap(image: MetaTensor, grid: MetaTensor) -> bool:
    """Whether any voxel of a grid lies where an image was measured."""
    available = MetaTensor(torch.isfinite(image.as_tensor()).to(torch.uint8), affine=image.affine)
    return bool(resample(available, grid, label=True).any())


def present(data: Mapping[str, Any]) -> list[str]:
    """The modalities that a dictionary holds."""
    return [name for name in data if name not in ("record", "label", "foreground")]
