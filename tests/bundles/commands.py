"""MONAI's command line, each command in a process of its own."""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from pathlib import Path

from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from processes import FORKS, free_port, say_to


def monai(*arguments: object, cwd: Path) -> str:
    """What ``python -m monai.bundle`` says inside a bundle."""
    (said,) = monai_in_processes(1, *arguments, cwd=cwd)
    return said


def monai_in_processes(count: int, *arguments: object, cwd: Path) -> list[str]:
    """The same in several processes that know of each other, as torchrun starts them; what each says."""
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / str(rank) for rank in range(count)]
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
        ranks = [{**group, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
        processes = [
            FORKS.Process(target=_command, args=(words, cwd, log, rank if count > 1 else {}))
            for log, rank in zip(logs, ranks, strict=True)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        said = [log.read_text() for log in logs]
    assert not any(process.exitcode for process in processes), "".join(text[-4000:] for text in said)
    return said


def monai_by_torchrun(count: int, *arguments: object, cwd: Path) -> None:
    """The same by PyTorch's launcher, which torchrun is the command of."""
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        launch = {"run_id": folder, "rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "max_restarts": 0}
        config = LaunchConfig(1, 1, count, start_method="forkserver", **launch)
        elastic_launch(config, _command)(words, cwd, Path(folder) / "said", {})


def _command(words: list[str], cwd: Path, log: Path, environment: dict[str, str]) -> None:
    say_to(log)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv, sys.path[0] = ["monai.bundle", *words], str(cwd)
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
