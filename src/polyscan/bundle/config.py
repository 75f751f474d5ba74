"""A bundle's folder, its metadata, and its configs with some entries changed, before anything is made of them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscan.bundle.unknown_entry import check_entries, unknown_entry
from polyscan.errors import PolyscanError, chain_of, sentence
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_folder

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow


def bundle_folder(name_or_folder: str | Path) -> Path:
    """The folder of a bundle: a folder as it is, else the bundle of that name that comes with polyscan.

    Raises:
        PolyscanError: there is neither.
    """
    for folder in (Path(name_or_folder), resource_folder("bundles") / name_or_folder):
        if (folder / "configs").is_dir():
            return folder
    known = sorted(path.parents[1].name for path in resource_folder("bundles").glob("*/configs/metadata.json"))
    raise PolyscanError(
        f"{name_or_folder} is no bundle: it has no folder configs; give a bundle's folder, or the name of one "
        f"that comes with polyscan: {', '.join(known)}."
    )


def read_metadata(folder: Path) -> dict[str, Any]:
    """A bundle's ``metadata.json``.

    Raises:
        PolyscanError: it is not there or is no JSON.
    """
    return read_json(folder / "configs" / "metadata.json")


def channels_of(bundle: str | Path) -> list[str]:
    """The modalities in the order of the channels that a bundle reads, by its metadata; colours are of one modality.

    Raises:
        PolyscanError: the metadata do not say.
    """
    try:
        content = read_metadata(Path(bundle))
        channels = content["network_data_format"]["inputs"]["image"]["channel_def"]
        return list(dict.fromkeys(channels[str(k)] for k in range(len(channels))))
    except (PolyscanError, KeyError, TypeError) as error:
        raise PolyscanError(
            f"{bundle} does not say which modality each channel is ({error}); its configs/metadata.json needs "
            "network_data_format with inputs, image and channel_def."
        ) from error


def check_channels(bundle: str | Path, modalities: list[str]) -> None:
    """Refuse a bundle whose config reads its channels in another order than its metadata say."""
    said = channels_of(bundle)
    if said != list(modalities):
        raise PolyscanError(
            f"{bundle} reads {', '.join(modalities)}, but its metadata name the channels {', '.join(said)}; weights "
            "are made for one order only: set both alike."
        )


def label_classes(bundle: str | Path) -> dict[str, int]:
    """The regions of a bundle's masks and their numbers, by its metadata, such as ``1 core, 2 oedema``.

    Raises:
        PolyscanError: the metadata do not say.
    """
    said = read_metadata(Path(bundle)).get("label_classes")
    try:
        parts = [part.split(maxsplit=1) for part in str(said).split(",")]
        return {name.strip(): int(value) for value, name in parts}
    except ValueError:
        raise PolyscanError(
            f"{bundle} has label_classes {said!r}; its configs/metadata.json needs them such as '1 core, 2 oedema'."
        ) from None


def read_config(bundle: str | Path, config: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The whole of a bundle's config with some entries changed.

    Raises:
        PolyscanError: there is no such config, it has no such entry, or one of another kind.
    """
    with quiet():
        content: dict[str, Any] = open_config(bundle, config, overrides).parser.get()
    return content


def labels_of(config: Mapping[str, Any]) -> list[str]:
    """What a study must be labelled with to be learnt from, by a config as :func:`read_config` gives it."""
    from monai.bundle import ConfigParser

    parser = ConfigParser({name: config[name] for name in ("labels", "tasks") if name in config})
    return parser.get_parsed_content("labels")


def open_config(
    bundle: str | Path, config: str, overrides: Mapping[str, Any], over: Sequence[str] = ()
) -> ConfigWorkflow:
    """A bundle's config with some entries changed, before anything is made of it; other configs lie over it."""
    from monai.bundle import ConfigWorkflow

    from polyscan.bundle.entries import check_entry

    file = Path(bundle) / "configs" / f"{config}.json"
    if not file.is_file():
        raise PolyscanError(f"{bundle} is no bundle with a config {config}.json; give a folder such as bundles/NAME.")
    files = [str(file), *(str(file.with_name(f"{name}.json")) for name in over)]
    with quiet():
        workflow = ConfigWorkflow(files, workflow_type=config, logging_file=False)
    for key in overrides:
        if key not in workflow.parser and f"@{key}" not in str(overrides):
            raise unknown_entry(Path(bundle), config, key, list(workflow.parser.get()))
    own = workflow.parser.get()
    check_entries(Path(bundle), config, own)
    for key in sorted(overrides.keys() & own.keys()):
        check_entry(key, own[key], overrides[key], f"{file.parents[1].name}/configs/{file.name}")
    workflow.parser.update(deepcopy(dict(overrides)))  # the parser writes into what it reads
    return workflow


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what MONAI and ignite log on their way: the user sees progress, results, and what is raised.

    Raises:
        PolyscanError: a part of a config raised it, which MONAI hides behind a RuntimeError that names the part.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # of an exception they log the traceback
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RuntimeError as error:
        if any(isinstance(behind, PolyscanError) for behind in chain_of(error)):
            raise PolyscanError(sentence(error)) from error
        raise
    finally:
        logging.disable(before)
