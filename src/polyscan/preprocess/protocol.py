"""A protocol is a file: the list of steps that prepare a study, which a user can read and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscan.errors import PolyscanError, sentence
from polyscan.files.resources import resource_file

if TYPE_CHECKING:
    from monai.bundle import ComponentLocator
    from monai.transforms import Compose


@dataclass(frozen=True)
class Protocol:
    """The steps of a protocol, ready to be called with ``{"record": Record(study)}``.

    Attributes:
        name: of its file.
        steps: one after the other.
    """

    name: str
    steps: Compose

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return self.steps(dict(data))


def load_protocol(name: str | Path) -> Protocol:
    """Read a protocol.

    Args:
        name: that of a protocol that comes with polyscan, or the path of a YAML or JSON file with ``steps``, a list of
            transforms with ``_target_``. As in every MONAI config ``_target_`` can run any code: name only files that
            you trust.

    Raises:
        PolyscanError: no such protocol, one of its steps cannot be made or is no transform (the text names the step),
            or the first does not read scans.
    """
    from monai.bundle import ConfigParser
    from monai.transforms import Compose

    from polyscan.preprocess.steps import LoadScansd

    path = _file(name)
    try:
        content = ConfigParser.load_config_file(str(path))
        steps = content["steps"]
        assert isinstance(steps, list)
    except Exception as error:
        raise PolyscanError(f"{path} is no protocol: it has no list of 'steps' ({error}).") from error
    made: list[Any] = []
    parser = ConfigParser({"steps": steps})
    parser.locator = _locator()
    for number, step in enumerate(steps):
        target = step.get("_target_", step) if isinstance(step, dict) else step
        try:
            made.append(parser.get_parsed_content(f"steps::{number}"))
        except Exception as error:
            raise PolyscanError(f"Step {target} of {path} cannot be made: {sentence(error)}") from error
        if not callable(made[-1]):
            raise PolyscanError(f"Step {target} of {path} is no transform; write its class under _target_.")
    if not made or not isinstance(made[0], LoadScansd):
        raise PolyscanError(f"The first step of {path} reads no scans; begin with polyscan.preprocess.LoadScansd.")
    return Protocol(path.stem, Compose(made, map_items=False))


def protocol_text(name: str | Path) -> str:
    """The text of a protocol's file, without making its steps; see :func:`load_protocol`."""
    return _file(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _locator() -> ComponentLocator:
    """MONAI's table of its classes, which takes as long to make as a small study takes to prepare."""
    from monai.bundle import ComponentLocator

    return ComponentLocator()


def _file(name: str | Path) -> Path:
    return resource_file(name, "configs/protocols", ".yaml", "protocol")
