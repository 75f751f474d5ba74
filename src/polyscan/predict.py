"""A bundle that answers for one study at a time, from scans as they come to a fused prediction."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from monai.data import MetaTensor

from polyscan.bundle import run as runs
from polyscan.bundle.config import bundle_folder, channels_of, read_metadata
from polyscan.bundle.inference_options import InferenceOptions
from polyscan.bundle.predictor import StudyPredictor
from polyscan.discovery.read_study import StudyImages, find_studies, only_study
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.modality import modality
from polyscan.preprocess.prepare_study import prepare_study
from polyscan.study import Scan, Study, TaskPrediction
from polyscan.study.made import prediction_of
from polyscan.study.manifest import Manifest
from polyscan.transforms.load import check_absent

_ONE_AT_A_TIME = threading.Lock()
"""Of the threads of a process: MONAI's engines answer for one study and then for the next."""


@dataclass
class Prediction:
    """What a bundle says of a study.

    Attributes:
        present: the modalities that it read, ``clinical`` among them where it read clinical variables.
        mask: of a segmentation, (1, x, y, z) label map in the space of the reference scan; otherwise None.
        answers: of a classification, task to class, probabilities, uncertainty and contributions; of a
            segmentation that is staged, the stage.
        volumes_ml: of a segmentation, region to what was segmented, in millilitres.
        confidence: of a segmentation, region that was marked to how sure that is, 0 to 1; see
            :func:`polyscan.inference.soft_dice_confidence`.
        contributions: of a segmentation, region to modality to its part of what drove it, where that was asked for.
        reference: the modality in whose space the mask lies.
        problems: modality to what was wrong with it.
        cautions: what whoever reads the answer must know of it, a sentence each.
    """

    present: list[str]
    mask: MetaTensor | None = None
    answers: dict[str, TaskPrediction] = field(default_factory=dict)
    volumes_ml: dict[str, float] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)
    contributions: dict[str, dict[str, float]] = field(default_factory=dict)
    reference: str | None = None
    problems: dict[str, str] = field(default_factory=dict)
    cautions: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        """What is told, of the mask its shape."""
        mask = None if self.mask is None else f"<{' x '.join(map(str, self.mask.shape))}>"
        told = {name: value for name, value in {**vars(self), "mask": mask}.items() if value}
        return f"Prediction({', '.join(f'{name}={value}' for name, value in told.items())})"


class LoadedBundle:
    """A bundle with its weights, read when it is first asked and kept.

    Args:
        name_or_folder: the name of a bundle that comes with polyscan, or a bundle's folder.
        weights: a file of weights; the bundle's own where not given.
        contributions: of masks, tell which modality drove them, by an answer from every subset of the modalities; see
            :class:`polyscan.transforms.ExplainRegionsd`. Classes always tell.

    Attributes:
        folder: of the bundle.
        modalities: what it reads, in the order of its channels.
        protocol: how scans are prepared for it; None where it reads pictures as they are.

    Raises:
        PolyscanError: there is no such bundle.
    """

    def __init__(
        self, name_or_folder: str | Path, weights: str | Path | None = None, *, contributions: bool = False
    ) -> None:
        self.folder = bundle_folder(name_or_folder)
        self.weights = weights
        self.options = InferenceOptions(contributions=contributions)
        self.modalities = channels_of(self.folder)
        self.protocol = read_metadata(self.folder).get("protocol")

    def predict(
        self, study: Study | str | Path | Mapping[str, MetaTensor], *, absent: Sequence[str] = ()
    ) -> Prediction:
        """Prepare a study as the bundle needs it, and answer from whichever of its modalities are there.

        Args:
            study: one of :func:`polyscan.find_studies` or of what :func:`polyscan.prepare` returned, or the folder of
                one patient; or scans by their modality, as :func:`polyscan.read_study` returns them: (1, x, y, z) each,
                with a RAS+ affine in millimetres, CT in HU and PET in SUV.
            absent: modality, or modalities, to treat as though they had not been acquired.

        Returns:
            What was found; nothing stays on disk.

        Raises:
            PolyscanError: the folder does not hold one study, none of its scans can be used, what is given as a scan
                is none, or ``absent`` names a modality that the bundle does not read.
        """
        absent = [absent] if isinstance(absent, str) else absent
        check_absent(absent, self.modalities)
        with tempfile.TemporaryDirectory(prefix="polyscan-") as folder:
            if isinstance(study, Mapping):
                study = _written(study, Path(folder))
            elif isinstance(study, (str, Path)):
                study = only_study(find_studies(study), study)
            elif not isinstance(study, Study):
                raise PolyscanError(
                    f"A {type(study).__name__} is no study; give one, its folder, or its scans in a dictionary."
                )
            ready = study.preparation is not None or not self.protocol
            prepared = study if ready else prepare_study(study, Path(folder), str(self.protocol))
            with _ONE_AT_A_TIME:
                answered = self._predictor.predict(prepared, absent)
                said = prediction_of(answered)
                mask = read_nifti(said.path) if said.is_mask else None
                Path(said.path).unlink()
            return Prediction(
                present=said.present,
                mask=mask,
                answers=said.answers,
                volumes_ml=said.volumes_ml,
                confidence=said.confidence,
                contributions=said.contributions,
                reference=prepared.preparation.reference if prepared.preparation else None,
                problems=prepared.problems,
                cautions=Manifest(testing=[answered]).cautions,
            )

    @cached_property
    def _predictor(self) -> StudyPredictor:
        self._answers = tempfile.TemporaryDirectory(prefix="polyscan-")
        return runs.load_predictor(self.folder, self._answers.name, weights=self.weights, options=self.options)


def _written(scans: Mapping[str, MetaTensor], folder: Path) -> Study:
    """The study of scans that are in memory, written to a folder.

    Raises:
        PolyscanError: one has no name of a modality, no affine, or another shape.
    """
    study = scans.study if isinstance(scans, StudyImages) else Study("scans")
    written = {}
    for name, image in scans.items():
        if not isinstance(image, MetaTensor) or image.ndim != 4 or len(image) != 1:
            found = f"{type(image).__name__} of shape {tuple(getattr(image, 'shape', ()))}"
            raise PolyscanError(f"{name} is a {found}; give a MetaTensor (1, x, y, z), as polyscan.read_study does.")
        write_nifti(folder / f"{name}.nii.gz", MetaTensor(image.as_tensor().float(), affine=image.affine))
        in_suv = {"Units": "SUV"} if modality(name).unit == "SUVbw" else {}
        written[name] = Scan(str(folder / f"{name}.nii.gz"), given=in_suv)
    return replace(study, scans=written)


def load_bundle(
    name_or_folder: str | Path, weights: str | Path | None = None, *, contributions: bool = False
) -> LoadedBundle:
    """A bundle by its name or folder; see :class:`LoadedBundle`."""
    return LoadedBundle(name_or_folder, weights, contributions=contributions)
