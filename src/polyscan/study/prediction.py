"""What a bundle said of a study, which network said it, and how well it agrees with the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polyscan.study.entry import PATH, Entry

CalibrationMethod = Literal["temperature", "vector", "isotonic"]


@dataclass
class RegionScore(Entry):
    """How well a region was segmented.

    Attributes:
        dice: None where the truth is empty.
        predicted_ml, true_ml: volumes in millilitres.
        hd95_mm: 95th percentile of the Hausdorff distance; None where the truth or the prediction is empty.
        surface_dice: the part of both surfaces that lies within 2 mm of the other; None where the truth is empty. Both
            are None in records of earlier versions.
    """

    dice: float | None
    predicted_ml: float
    true_ml: float
    hd95_mm: float | None = None
    surface_dice: float | None = None


@dataclass
class VolumeInterval(Entry):
    """Between which volumes the true one lies; see :class:`polyscan.inference.volume_intervals.VolumeIntervals`.

    Attributes:
        low_ml, high_ml: in millilitres.
        coverage: how often.
    """

    low_ml: float
    high_ml: float
    coverage: float


@dataclass
class RegionUncertainty(Entry):
    """How much doubt there is of a mask: the sum of the entropy of the image's voxels, in bits, a marked voxel.

    Attributes:
        aleatoric: what the scans leave open.
        epistemic: what the network does not know: how far its answers differ.
    """

    aleatoric: float
    epistemic: float


@dataclass
class TaskPrediction(Entry):
    """What was predicted for one task.

    Attributes:
        predicted_class: its name; None where there is none, as no stage without a lesion.
        truth: the true class, or time and event, where it is known.
        probabilities: class to its probability.
        risk: of survival, the logarithm of the hazard; 0 is the mean of those who were learnt from.
        survival: time to the chance to live so long and the ends of its interval, see
            :class:`polyscan.transforms.ExplainRiskd`.
        uncertainty, aleatoric, epistemic, conflict, standard_deviation, contributions, contribution_errors,
            interactions, prediction_set: see :class:`polyscan.transforms.ExplainPredictiond`. A set without a class
            rules all of them out; None is no set.
        measures, true_measures: see :class:`polyscan.bundle.Staging`.
    """

    predicted_class: str | None = None
    truth: str | dict[str, float] | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    risk: float | None = None
    uncertainty: float | None = None
    standard_deviation: float | None = None
    contributions: dict[str, float] = field(default_factory=dict)
    measures: dict[str, Any] = field(default_factory=dict)
    true_measures: dict[str, Any] = field(default_factory=dict)
    prediction_set: list[str] | None = None
    aleatoric: float | None = None
    epistemic: float | None = None
    conflict: float | None = None
    interactions: dict[str, float] = field(default_factory=dict)
    survival: dict[str, list[float]] = field(default_factory=dict)
    contribution_errors: dict[str, float] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether the truth is known, be it that there is no class."""
        return self.truth is not None or bool(self.true_measures)


@dataclass
class ModelRecord(Entry):
    """Which network said it, as far as another needs to know to say the same.

    Attributes:
        bundle, bundle_version: of its configs.
        network, fusion: the classes of the network and of its fusion layer; empty where there is none.
        fuse_at: where it fuses: ``input``, ``output`` or levels of the encoder.
        modalities: that it reads, in the order of its channels; those that it never learnt from are not read.
        weights: SHA-256 of each file of weights; several are an ensemble.
        calibrated: whether its probabilities were calibrated.
        calibration_method: by which they were.
        mirrored: along how many axes the image was mirrored, all answers being averaged.
        versions: package to version.
        parts: the classes that the network is built of: encoder, head and others.
        spacing: millimetres that images come to before the network; empty where they keep their own.
        roi_size: voxels that the network sees at a time.
        inferer: the class that goes over an image by them.
        settings: changes where weights, calibration or any entry of the config does that an answer depends on.
        protocols: by which the scans that it learnt from were prepared, ``""`` where by none; empty where not known.
        stands_in: what it reads in the place of a modality that is missing; empty where nothing.
        carried: entries of which its own bundle says otherwise than its weights, and which were taken from those.
        missing_by_label: modality to the labels on which it depended, in training, whether a study had it.
    """

    bundle: str
    bundle_version: str = ""
    network: str = ""
    fusion: str = ""
    fuse_at: str = ""
    modalities: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    calibrated: bool = False
    calibration_method: CalibrationMethod = "temperature"
    mirrored: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    spacing: list[float] = field(default_factory=list)
    roi_size: list[int] = field(default_factory=list)
    inferer: str = ""
    settings: str = ""
    protocols: list[str] = field(default_factory=list)
    stands_in: str = ""
    carried: list[str] = field(default_factory=list)
    missing_by_label: dict[str, list[str]] = field(default_factory=dict)


def atypical(typicality: Mapping[str, float]) -> list[str]:
    """Scans unlike those of the calibration; of studies like them 5 in 100 have one (Bonferroni's correction).

    Args:
        typicality: see :class:`PredictionRecord`.
    """
    return [name for name, p in typicality.items() if p * len(typicality) <= 0.05]


@dataclass
class AttributionRecord(Entry):
    """Where in the scans a prediction comes from; see :mod:`polyscan.attribution`.

    Attributes:
        method: its name, such as ``"gradcam"``.
        target: the task, or the region, that is explained.
        predicted_class: of a task, the class that is explained.
        maps: modality to its map, NIfTI on the grid of the prepared scans.
        shares: modality to its part of the sum of absolute values.
    """

    method: str
    target: str
    predicted_class: str | None = None
    maps: dict[str, str] = field(default_factory=dict, metadata=PATH)
    shares: dict[str, float] = field(default_factory=dict)


@dataclass
class PredictionRecord(Entry):
    """What a bundle said of a study.

    Attributes:
        path: of the mask, or of the JSON file with the answers.
        present: what the network read: scans, and ``clinical`` where it read clinical variables.
        scores: region to how well it was segmented, where the truth is known.
        answers: task to what was predicted.
        volumes_ml: region to what was segmented, in millilitres.
        confidence: region that was marked to how sure that is, 0 to 1; see
            :func:`polyscan.inference.soft_dice_confidence`.
        contributions: region to modality to its part of what drove it, where that was asked for; see
            :class:`polyscan.transforms.ExplainRegionsd`.
        uncertainty: region that was marked to how much doubt there is and from where, where that was asked for.
        volume_intervals: region to what its true volume may be, where the segmentation is calibrated.
        seconds: the time that it took.
        typicality: scan to how often one of the calibration is as far from the others as it is, by its features.
        regions: of a mask, region to the numbers in it that the region consists of.
        probabilities: NIfTI of (x, y, z, region) probabilities in the order of ``regions``; None where not kept.
        entropies: NIfTI of (x, y, z, 2), see :class:`polyscan.transforms.SaveUncertaintyd`; None where not asked for.
        attributions: where in the scans it comes from, where that was asked for.
        model: what said it; None where a bundle was run by MONAI's own command.
        at: when, in ISO 8601.
        reused: scans that were not encoded again, since features of them were kept.
        earlier: what the same model said before, from fewer scans; first one first.
        ignored: scans that were there and not read, since they are atypical.
        unanswered: tasks that no study with any of these scans taught.
        unread: columns of tables with a word that the network never learnt, which is taken as not recorded.
        stray_labels: labels of the true mask that are of no region, and count as background in the scores.
        learnt: whether the network learnt from this study, as far as its weights tell.
    """

    path: str = field(metadata=PATH)
    present: list[str] = field(default_factory=list)
    scores: dict[str, RegionScore] = field(default_factory=dict)
    answers: dict[str, TaskPrediction] = field(default_factory=dict)
    volumes_ml: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    typicality: dict[str, float] = field(default_factory=dict)
    regions: dict[str, list[int]] = field(default_factory=dict)
    probabilities: str | None = field(default=None, metadata=PATH)
    model: ModelRecord | None = None
    attributions: list[AttributionRecord] = field(default_factory=list)
    at: str | None = None
    reused: list[str] = field(default_factory=list)
    earlier: list[PredictionRecord] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    learnt: bool = False
    volume_intervals: dict[str, VolumeInterval] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)
    contributions: dict[str, dict[str, float]] = field(default_factory=dict)
    uncertainty: dict[str, RegionUncertainty] = field(default_factory=dict)
    entropies: str | None = field(default=None, metadata=PATH)
    stray_labels: list[int] = field(default_factory=list)

    @property
    def atypical(self) -> list[str]:
        """Scans unlike those of the calibration, see :func:`atypical`."""
        return atypical(self.typicality)

    @property
    def undecided(self) -> list[str]:
        """Tasks and regions that a person should decide: what is promised to hold the truth leaves it open.

        Of a task the prediction set has several classes, or none; of a region the interval of its volume begins at 0,
        so that it may not be there.
        """
        tasks = [
            name for name, a in self.answers.items() if a.prediction_set is not None and len(a.prediction_set) != 1
        ]
        return tasks + [name for name, of in self.volume_intervals.items() if of.low_ml <= 0 < of.high_ml]

    @property
    def files(self) -> list[str]:
        """What was written of it, earlier answers and maps of attribution not included."""
        return [path for path in (self.path, self.probabilities, self.entropies) if path is not None]

    @property
    def all_files(self) -> list[str]:
        """What was written of it and of earlier answers, maps of attribution not included."""
        return [file for each in (self, *self.earlier) for file in each.files]

    @property
    def maps(self) -> list[str]:
        """Maps of attribution."""
        return [path for each in self.attributions for path in each.maps.values()]

    @property
    def is_mask(self) -> bool:
        """Whether it is a segmentation; otherwise the answers are all there is."""
        return not self.path.endswith(".json")
