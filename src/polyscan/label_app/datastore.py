"""Studies as the images of a MONAI Label datastore."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from polyscan.dicom.write_segmentation import write_segmentation
from polyscan.discovery.bids import named
from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write, read_json, write_json
from polyscan.formats.nifti import write_nifti
from polyscan.label_app.corrections import check_classes, read_correction, renumbered
from polyscan.label_app.found import Found, attributes_of
from polyscan.label_app.masks import grid_of
from polyscan.label_app.service import StudyService
from polyscan.label_app.sources import WebStudies
from polyscan.label_app.uploads import expected_modality
from polyscan.study.manifest import paths_of


class StudyDatastore(Datastore):
    """An image is a study, a label a mask in the space of the scan that was segmented, or JSON that names classes.

    Labels lie in ``.polyscan/labels/<tag>/<study>.nii.gz`` (or ``.json``) beside the studies, what is known of studies
    and labels in ``labels.json`` beside them.

    Args:
        service: knows the studies.
    """

    def __init__(self, service: StudyService) -> None:
        self.service = service
        self.folder = service.work / "labels"
        self.file = self.folder / "labels.json"
        self._lock = threading.RLock()
        self._name, self._description = "polyscan", "Studies of several series"
        content = read_json(self.file) if self.file.exists() else {}
        self._images: dict[str, dict[str, Any]] = content.get("images", {})
        self._labels: dict[str, dict[str, Any]] = content.get("labels", {})

    def name(self) -> str:
        """Of the datastore."""
        return self._name

    def set_name(self, name: str) -> None:
        """Name the datastore."""
        self._name = name

    def description(self) -> str:
        """Of the datastore."""
        return self._description

    def set_description(self, description: str) -> None:
        """Describe the datastore."""
        self._description = description

    def datalist(self) -> list[dict[str, Any]]:
        """Studies that have a final label, with the scan that stands for each."""
        tag = DefaultLabelTag.FINAL.value
        return [
            {"image_id": key, "image": self.get_image_uri(key), "label": self.get_label_uri(key, tag)}
            for key in self.get_labeled_images(tag)
        ]

    def list_images(self) -> list[str]:
        """The names of all studies."""
        return list(self.service.studies())

    def get_image(self, image_id: str, params: Any = None) -> Any:
        """The bytes of the scan that stands for a study."""
        return Path(self.get_image_uri(image_id)).read_bytes()

    def get_image_uri(self, image_id: str) -> str:
        """The NIfTI of the scan that stands for a study.

        Raises:
            PolyscanError: there is no such study, or it has no scan that can be read.
        """
        return str(self.service.shown(self.service.find(image_id)))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """The study's modalities, what OHIF opens it by where it is DICOM, and what was noted of it."""
        found = self.service.find(image_id)
        attributes = attributes_of(found.scan.source) if found.scan else {}
        return {"modalities": list(found.study.scans), **attributes, **self._images.get(found.key, {})}

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Note something of a study."""
        image_id, info = self._key(image_id), _object(info)
        with self._lock:
            self._images.setdefault(image_id, {}).update(info)
            self._save()

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add a scan to a study, new or not.

        Args:
            image_id: study and modality as BIDS names them, such as ``sub-010_FLAIR``; or any other name, such as
                Slicer's ``MRBrainTumor1``, of a new study.
            image_filename: its NIfTI.
            image_info: what to note of the study; ``modality`` says what a scan is whose name does not tell, else it is
                taken for what stands for studies of the model in use, and ``assumed`` is noted.

        Returns:
            The study's name.

        Raises:
            HTTPException: 409 where it is there already.
            PolyscanError: the name says no study and modality.
        """
        image_info = _object(image_info)
        study, _, _ = _plain(image_id).rpartition("_")
        if named(image_id).modality is None and not image_id.startswith("sub-"):
            reads = self.service.bundles[self.service.in_use].modalities
            modality = image_info.get("modality")
            if modality is None:
                modality = expected_modality(reads)
                image_info["assumed"] = f"The name tells no modality; the scan was taken for {modality}."
            study, image_id = image_id, _plain(f"{image_id}_{modality}")
            if (self.service.source.folder / study).exists():
                raise HTTPException(status_code=409, detail=f"{study} is there already; give it another name.")
        path = self.service.source.folder / study / f"{image_id}.nii.gz"
        if path.exists():
            raise HTTPException(status_code=409, detail=f"{image_id} is there already; give it another name.")
        if study:
            with atomic_write(path) as temporary:
                shutil.copyfile(image_filename, temporary)
            for key, found in self.service.studies().items():
                if str(path) in paths_of(found):
                    self.update_image_info(key, image_info)
                    return key
            path.unlink()
        raise PolyscanError(f"{image_id} says no study and modality that can be told; name it such as sub-010_FLAIR.")

    def remove_image(self, image_id: str) -> None:
        """Refused: studies are the user's."""
        raise HTTPException(status_code=403, detail="This server removes no studies; take the folder away yourself.")

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Tag to label of a study."""
        key = self._key(image_id)
        return dict.fromkeys(self._labels.get(key, {}), key)

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """The label of a study, which has its name; empty where there is none."""
        key = self._key(image_id)
        return key if tag in self._labels.get(key, {}) else ""

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> Any:
        """The bytes of a label."""
        return Path(self.get_label_uri(label_id, label_tag)).read_bytes()

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The file of a label.

        Raises:
            HTTPException: 404 where there is none.
        """
        label_id = self._key(label_id)
        path = self._label_file(label_id, label_tag)
        if label_tag not in self._labels.get(label_id, {}) or not path.exists():
            raise HTTPException(status_code=404, detail=f"{label_id} has no label {label_tag!r}.")
        return str(path)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """What was noted of a label."""
        label_id = self._key(label_id)
        return self._labels.get(label_id, {}).get(label_tag, {})

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep a label, whole or not at all: of what cannot be kept the label that is there stays.

        Args:
            image_id: a study's name, or a StudyInstanceUID or SeriesInstanceUID, which says what it was drawn on.
            label_filename: mask or, as JSON, classes.
            label_tag: under which to keep it.
            label_info: ``label_info`` names the numbers of a mask; ``model`` whose names they are.

        Raises:
            PolyscanError: there is no such study, or it is no label of that scan.
        """
        tag, path, info = str(getattr(label_tag, "value", label_tag)), Path(label_filename), _object(label_info)
        found, classes = self.service.find(image_id), label_filename.endswith(".json")
        destination = self._label_file(found.key, tag, classes)
        with self._lock:
            if classes:
                self._keep_classes(path, destination, tag)
            else:
                info |= self._keep_mask(path, destination, found, tag, info)
            self._label_file(found.key, tag, not classes).unlink(missing_ok=True)
            self._labels.setdefault(found.key, {})[tag] = {"ts": int(time.time()), **info}
            self._save()
        return found.key

    def _keep_classes(self, path: Path, destination: Path, tag: str) -> None:
        if tag == DefaultLabelTag.FINAL.value:  # others hold answers with their probabilities
            known = [name for bundle in self.service.bundles.values() if bundle.classifies for name in bundle.labels]
            check_classes(read_json(path), known)
        with atomic_write(destination) as temporary:
            shutil.copyfile(path, temporary)

    def _keep_mask(self, path: Path, destination: Path, found: Found, tag: str, info: dict[str, Any]) -> dict[str, Any]:
        """Write a mask in a model's own numbers; returns what they mean and what it was drawn on.

        A final mask of a study of a DICOMweb server is stored there too, as DICOM SEG.
        """
        models = {name: bundle.labels for name, bundle in self.service.bundles.items() if not bundle.classifies}
        if "model" in info and info["model"] in list(models):
            models = {info["model"]: models[info["model"]]}
        mask = read_correction(path, grid_of(found.shown.source))
        mask, labels = renumbered(mask, info.get("label_info"), models)
        if isinstance(self.service.source, WebStudies) and tag == DefaultLabelTag.FINAL.value:
            with tempfile.TemporaryDirectory(prefix="polyscan-") as folder:
                file = Path(folder) / "label.dcm"
                segments = {name: [number] for name, number in labels.items()}
                write_segmentation(file, mask, found.shown.source, segments, description=f"{tag} label", manual=True)
                self.service.source.store(file)
        write_nifti(destination, mask)
        return {"labels": labels, "drawn_on": found.shown.name}

    def _key(self, image_id: str) -> str:
        """A study's own name, where it is asked for by a UID or by the name under which it was uploaded."""
        return image_id if image_id in self._labels or image_id in self._images else self.service.find(image_id).key

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label."""
        label_id = self._key(label_id)
        with self._lock:
            self._label_file(label_id, label_tag).unlink(missing_ok=True)
            self._labels.get(label_id, {}).pop(label_tag, None)
            self._save()

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Note something of a label."""
        label_id, info = self._key(label_id), _object(info)
        with self._lock:
            self._labels.setdefault(label_id, {}).setdefault(label_tag, {}).update(info)
            self._save()

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Studies that have a label of the tag; the final one where none is named."""
        tag = label_tag or DefaultLabelTag.FINAL.value
        return [key for key in self.list_images() if tag in self._labels.get(key, {})]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Studies that have no label of the tag."""
        labelled = set(self.get_labeled_images(label_tag))
        return [key for key in self.list_images() if key not in labelled]

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A ZIP of the scans that stand for studies, with their final labels.

        Raises:
            PolyscanError: the limit is no number from 1.
        """
        if limit_cases is not None and limit_cases < 1:
            raise PolyscanError(f"limit_cases is {limit_cases}; expected a whole number from 1.")
        with tempfile.TemporaryDirectory() as folder:
            for item in self.datalist()[:limit_cases]:
                for kind in ("image", "label"):
                    (Path(folder) / kind).mkdir(exist_ok=True)
                    ending = "".join(Path(item[kind]).suffixes[-2:])
                    shutil.copyfile(item[kind], Path(folder) / kind / f"{item['image_id']}{ending}")
            return shutil.make_archive(str(self.folder / "archive"), "zip", folder)

    def refresh(self) -> None:
        """Look for new studies."""
        self.service.studies()

    def status(self) -> dict[str, Any]:
        """Counts."""
        labelled = self.get_labeled_images()
        return {
            "name": self._name,
            "description": self._description,
            "total": len(self.list_images()),
            "completed": len(labelled),
            "label_tags": {
                tag: sum(tag in tags for tags in self._labels.values())
                for tag in sorted({tag for tags in self._labels.values() for tag in tags})
            },
            "train": self.datalist(),
        }

    def json(self) -> dict[str, Any]:
        """Every study with its modalities, as far as they are known, and labels."""
        return {
            "name": self._name,
            "description": self._description,
            "objects": {
                key: {
                    "image": {"info": {"modalities": list(study.scans), **self._images.get(key, {})}},
                    "labels": {tag: self._told(key, tag) for tag in self._labels.get(key, {})},
                }
                for key, study in self.service.studies().items()
            },
        }

    def _told(self, key: str, tag: str) -> dict[str, Any]:
        """What is said of a label, as Slicer reads it."""
        return {"ext": "".join(self._label_file(key, tag).suffixes[-2:]), "info": self._labels[key][tag]}

    def _label_file(self, key: str, tag: str, classes: bool | None = None) -> Path:
        """Where a label lies: one that is there already, where ``classes`` does not say of which kind it is."""
        folder = self.folder / _plain(str(getattr(tag, "value", tag)))
        kept = folder / f"{_plain(key)}.json"
        return kept if classes or (classes is None and kept.exists()) else folder / f"{_plain(key)}.nii.gz"

    def _save(self) -> None:
        write_json(self.file, {"images": self._images, "labels": self._labels})


def _object(sent: Any) -> dict[str, Any]:
    """What a client sent as a JSON object; nothing is an empty one.

    Raises:
        PolyscanError: it is something else.
    """
    if not isinstance(sent or {}, dict):
        raise PolyscanError(f"{sent!r} is no JSON object; expected one such as {{}}.")
    return dict(sent or {})


def _plain(name: str) -> str:
    """A name that is no path.

    Raises:
        PolyscanError: it holds anything but letters, digits, points, hyphens and underscores.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise PolyscanError(f"{name!r} is no name; use letters, digits, . - and _ only.")
    return name
