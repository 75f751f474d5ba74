"""The page of a study: what was read, what was found, how sure that is, and what was done; one file, no network."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from PIL import Image

from polyscan import __version__
from polyscan.files.atomic import read_json
from polyscan.files.digest import digest_of
from polyscan.files.owned import replace_owned
from polyscan.formats.nifti import read_nifti
from polyscan.formats.pictures import is_picture
from polyscan.report.display import Display, colour_map, window
from polyscan.report.marks import explained, scale, told, within
from polyscan.report.render import data_uri, render_page
from polyscan.report.sheet import map_sheet, mask_sheet, scan_sheet
from polyscan.report.uncertainty import doubts_of
from polyscan.study import AttributionRecord, PredictionRecord, ScanKey, Study
from polyscan.study.made import prediction_of
from polyscan.study.outputs import files_digest
from polyscan.study.record import CLINICAL

VOXELS, REGISTRATION_VOXELS = 4_000_000, 1_000_000
"""At most so many are kept of each volume, of the study and of what shows its registration."""
SIZE = 6_000_000
"""Bytes that the scans of a page are held to, by lowering the quality of their pictures; masks take little beside."""
REGION_COLOURS = ("#f5793a", "#f0e442", "#cc79a7", "#00a878", "#e69f00", "#d55e00")  # told apart with any colour vision
TRUTH = "#33c6ff"
_TILE = 160
_NO_SCANS = {"label", "foreground"}  # that problems of a preparation are told of too


@dataclass(frozen=True)
class _Seen:
    """A study on the grid that is shown: scans (x, y, z), masks of labels, and where their middle is."""

    display: Display
    images: dict[str, MetaTensor]
    scans: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    middle: list[int]


def write_study_page(study: Study, path: str | Path, *, cohort: str | None = None) -> Path:
    """Draw the page of a study from what ``prepare`` and ``infer`` wrote, and beside it a small picture, ``.jpg``.

    A page that is there already stays where the study, its files and polyscan are those that it was drawn from.

    Args:
        study: with its prediction.
        path: the page, whole or not at all.
        cohort: address of the page of the cohort, as seen from this one; none where not given.

    Returns:
        The path of the page.

    Raises:
        PolyscanError: a file of the study cannot be read.
    """
    path = Path(path)
    made_from = digest_of(__version__, asdict(study), files_digest(study), cohort)
    if path.with_suffix(".jpg").is_file() and drawn_from(path) == made_from:
        return path
    prediction = prediction_of(study)
    seen = None if all(map(is_picture, _images(study).values())) else _see(study, prediction)
    text = render_page(
        "polyscan.report",
        "study.html",
        made_from=made_from,
        cohort=cohort,
        study=study,
        prediction=prediction,
        preparation=study.preparation,
        missing=missing(study),
        stands_in=stands_in(prediction),
        missing_by_label=prediction.model.missing_by_label if prediction.model is not None else {},
        regions=_regions(prediction),
        truth=TRUTH if study.label.mask is not None else None,
        steps={name: _steps(scan.sidecar) for name, scan in study.scans.items()},
        pictures=_pictures(study) if seen is None else {},
        explained=explained(prediction.attributions, _region_colours(prediction)),
        volumes=None if seen is None else _volumes(study, seen),
    )
    with replace_owned(path.parent, last=path.name, group=path.stem) as folder:
        _tile(study, seen).save((folder / path.name).with_suffix(".jpg"), quality=80)
        (folder / path.name).write_text(text, encoding="utf-8")
    return path


def draw_study(study: Study, pages: Path, cohort: str) -> None:
    """Draw a page of many: see :func:`write_study_page`."""
    write_study_page(study, pages / f"{study.key}.html", cohort=cohort)


def missing(study: Study) -> dict[str, str]:
    """Scan to why the network did not have it: it was left out, taken away, or never acquired."""
    prediction = prediction_of(study)
    wanted = prediction.model.modalities if prediction.model is not None else []
    acquired = [*study.scans, *([CLINICAL] if study.clinical and CLINICAL in wanted else [])]
    absent = {
        name: "not read by this network" if wanted and name not in wanted else "treated as not acquired"
        for name in acquired
        if name not in prediction.present
    }
    ignored = dict.fromkeys(prediction.ignored, "left out, being unlike the scans that the network was calibrated on")
    left_out = {
        name: problem for name, problem in study.problems.items() if name not in study.scans and name not in _NO_SCANS
    }
    keys = [ScanKey.parse(name) for name in {*acquired, *prediction.present} | left_out.keys()]
    known = {*map(str, keys), *(key.modality for key in keys)}
    never = {name: "not found in the study" for name in wanted if name not in known}
    return {**absent, **ignored, **left_out, **never}


def stands_in(prediction: PredictionRecord) -> str:
    """What the network read in the place of a modality that it lacked; empty where all were there or nothing was."""
    model = prediction.model
    read = {ScanKey.parse(name).modality for name in prediction.present}
    if model is None or read.issuperset(model.modalities):
        return ""
    return model.stands_in


def drawn_from(path: Path) -> str:
    """What a page says that it was drawn from; empty where there is none."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8") as file:
        _, _, rest = file.read(2000).partition('name="polyscan-made-from" content="')
    return rest.partition('"')[0]


def _images(study: Study) -> dict[str, str]:
    """Scan to the file of it that can be drawn; tables cannot."""
    return {name: scan.path for name, scan in study.scans.items() if not scan.is_table}


def _see(study: Study, prediction: PredictionRecord) -> _Seen:
    images = {name: read_nifti(path) for name, path in _images(study).items()}
    mask = read_nifti(prediction.path) if prediction.is_mask else None
    reference = study.preparation.reference if study.preparation else ""
    grid = mask if mask is not None else images.get(reference, next(iter(images.values())))
    display = Display(grid, VOXELS)
    masks = {} if mask is None else {"prediction": display.labels(mask)}
    if study.label.mask is not None:
        masks["truth"] = display.labels(read_nifti(study.label.mask))
    scans = {name: display.image(images[name]) for name in prediction.present if name in images}
    return _Seen(display, images, scans, masks, display.middle(*masks.values()))


def _volumes(study: Study, seen: _Seen) -> dict[str, Any]:
    """Everything that the viewer of the page shows, as JSON."""
    prediction = prediction_of(study)
    registered = study.preparation.transforms if study.preparation else {}
    marks = sum(len(each.maps) for each in prediction.attributions)
    parts = len(seen.scans) + 0.25 * (2 * len(registered) + 1 + marks)
    limit = int(SIZE * 3 / 4 / parts)  # base64 makes four bytes of three
    found: dict[str, Any] = {
        "shape": seen.display.shape,
        "spacing": seen.display.spacing.round(4).tolist(),
        "middle": seen.middle,
        "scans": {name: scan_sheet(name, values, limit) for name, values in seen.scans.items()},
        "masks": {kind: mask_sheet(values) for kind, values in seen.masks.items()},
        "labels": _label_colours(prediction),
        "truth": TRUTH,
    }
    doubts = {name: map_sheet(seen.display.image(of), limit // 2) for name, of in doubts_of(prediction).items()}
    found["doubts"] = doubts
    found["attributions"] = [_marked(each, seen, prediction.regions, limit // 4) for each in prediction.attributions]
    reference = study.preparation.reference if study.preparation else ""
    if registered and reference in seen.images:
        coarse = Display(seen.images[reference], REGISTRATION_VOXELS)
        found["registration"] = {
            "shape": coarse.shape,
            "spacing": coarse.spacing.round(4).tolist(),
            "fixed": scan_sheet(reference, coarse.image(seen.images[reference]), limit // 4),
            "moving": {
                name: {
                    "before": scan_sheet(name, coarse.moved(seen.images[name], transform), limit // 4),
                    "after": scan_sheet(name, coarse.image(seen.images[name]), limit // 4),
                }
                for name, transform in registered.items()
            },
        }
    return found


def _marked(found: AttributionRecord, seen: _Seen, regions: Mapping[str, list[int]], limit: int) -> dict[str, Any]:
    """Maps of attribution as sheets in which a half is 0; those of one target have one scale, so that they compare.

    Beside them where each is highest and, of a region, its part of the image and the part of each map in it.
    """
    maps = {name: seen.display.image(read_nifti(path)) for name, path in found.maps.items() if name in seen.scans}
    most = scale(list(maps.values()))
    marked: dict[str, Any] = {
        "name": told(found),
        "scans": {name: map_sheet(0.5 + np.nan_to_num(values) / (2 * most), limit) for name, values in maps.items()},
        "peaks": {
            name: [int(i) for i in np.unravel_index(np.nan_to_num(values).argmax(), values.shape)]
            for name, values in maps.items()
        },
    }
    if found.target in regions:
        region = np.isin(seen.masks["prediction"], regions[found.target])
        marked["part"] = float(region.mean())
        marked["within"] = {name: within(values, region) for name, values in maps.items()}
    return marked


def _regions(prediction: PredictionRecord) -> list[dict[str, Any]]:
    """What is told of each region: its name, colour, volume, and score where the truth is known."""
    return [
        {
            "name": name,
            "colour": colour,
            "ml": prediction.volumes_ml.get(name),
            "confidence": prediction.confidence.get(name),
            "uncertainty": prediction.uncertainty.get(name),
            "interval": prediction.volume_intervals.get(name),
            "score": prediction.scores.get(name),
        }
        for name, colour in _region_colours(prediction).items()
    ]


def _region_colours(prediction: PredictionRecord) -> dict[str, str]:
    return _colours(dict.fromkeys([*prediction.regions, *prediction.volumes_ml]))


def _colours(names: Iterable[str]) -> dict[str, str]:
    return dict(zip(names, itertools.cycle(REGION_COLOURS)))


def _label_colours(prediction: PredictionRecord) -> dict[int, str]:
    """Number in the mask to the colour of the innermost region that it belongs to."""
    found: dict[int, str] = {}
    regions = prediction.regions or {"all": [1]}
    colours = _colours(regions)
    for name in sorted(regions, key=lambda name: -len(regions[name])):
        found |= dict.fromkeys(regions[name], colours[name])
    return found


def _steps(sidecar: str | None) -> list[str]:
    """What was done to a scan, a line a step."""
    if sidecar is None or not Path(sidecar).is_file():
        return []
    return [_step(step) for step in read_json(sidecar).get("Steps", [])]


def _step(step: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in step.items() if name not in ("name", "package") and value not in ("", [])}
    return f"{step['name']}: " + ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in rest.items())


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_short, value))
    return str(value)


def _pictures(study: Study) -> dict[str, str]:
    """2D pictures as they are, and with each map of attribution over them, inside the page."""
    prediction = prediction_of(study)
    found = {name: _flat(path) for name, path in _images(study).items() if name in prediction.present}
    for each in prediction.attributions:
        maps = {name: read_nifti(path).numpy()[0, :, :, 0].T for name, path in each.maps.items()}
        most = scale(list(maps.values()))
        for name, values in maps.items():
            found[f"{name}: {told(each)}"] = _flat(study.scans[name].path, values / most)
    return found


def _flat(path: str, marks: np.ndarray | None = None) -> str:
    """A 2D picture, with marks from -1, in blue, to 1, in red, over it."""
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        shown = picture.convert("RGB")
    if marks is not None:
        large = Image.fromarray(marks.astype(np.float32)).resize(shown.size, Image.Resampling.BILINEAR)
        strength = np.clip(np.asarray(large), -1, 1)[..., None]
        rest = 220 * (1 - np.abs(strength))
        full, none = np.full_like(rest, 255), np.zeros_like(rest)
        colour = np.where(strength > 0, np.concatenate([full, rest, none], 2), np.concatenate([none, rest, full], 2))
        opacity = np.minimum(1, 2 * np.abs(strength)) * 0.6
        shown = Image.fromarray(((1 - opacity) * np.asarray(shown) + opacity * colour).astype(np.uint8))
    shown.save(buffer, format="png")
    return data_uri(buffer.getvalue(), "png")


def _tile(study: Study, seen: _Seen | None) -> Any:
    """A small picture: the axial plane through the middle of what was predicted, on the first scan."""
    prediction = prediction_of(study)
    if not _images(study):
        return Image.new("RGB", (_TILE, _TILE))
    if seen is None:
        with Image.open(next(iter(_images(study).values()))) as picture:
            found = picture.convert("RGB")
            found.thumbnail((_TILE, _TILE))
            return found
    name = next(iter(seen.scans))
    values = seen.scans[name][:, :, seen.middle[2]].T
    low, high = window(name, seen.scans[name])
    levels = np.nan_to_num(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    pixels = colour_map(name)[levels].astype(float)
    if "prediction" in seen.masks:
        labels = seen.masks["prediction"][:, :, seen.middle[2]].T
        for number, colour in _label_colours(prediction).items():
            over = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
            pixels[labels == number] = 0.5 * pixels[labels == number] + 0.5 * over
    height = round(_TILE * values.shape[0] * seen.display.spacing[1] / (values.shape[1] * seen.display.spacing[0]))
    return Image.fromarray(pixels.astype(np.uint8)).resize((_TILE, max(1, height)), Image.Resampling.BILINEAR)
