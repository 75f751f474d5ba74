"""The command line, from ``polyscan demo`` to ``polyscan label-app``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from polyscan import __version__
from polyscan.commands.options import check_given
from polyscan.cores import share_cores
from polyscan.errors import hold_back_values, sentence

COMMANDS = (
    "demo", "scan", "dataset", "prepare", "translate", "advise", "plan", "train", "compare", "calibrate", "infer",
    "evaluate", "native", "dicom", "check_privacy", "report", "features", "methods", "picture", "course", "batch",
    "status", "listen", "phantom", "label_app",
)  # fmt: skip
"""The files of ``polyscan.commands``, in the order in which ``polyscan --help`` lists them."""

_KEPT = "every file that was written is whole; give the same command again."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0; 3 where some studies failed; 1 where none could be used, or the input cannot be; 2 where the
        command line is wrong; 130 where interrupted.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options, unknown = parser().parse_known_args(words, argparse.Namespace(words=words))
    if unknown:
        options.refuse(f"unrecognized arguments: {' '.join(unknown)}")
    share_cores()
    hold_back_values()
    try:
        check_given(options)
        return int(options.run(options) or 0)
    except KeyboardInterrupt:
        print(f"polyscan {options.command}: interrupted; {options.kept.format(**vars(options))}", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        print(f"polyscan {options.command}: {sentence(error)}".replace(str(Path.home()), "~"), file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The parser of the command line.

    Of a command ``run`` is what does it, ``kept`` what an interrupt leaves, ``refuse`` what ends it with its usage. Its
    help is the documentation of its file: what it does, more of that, and an example.
    """
    whole = argparse.ArgumentParser(prog="polyscan", description="Read the scans of one patient together.")
    whole.add_argument("--version", action="version", version=f"polyscan {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"polyscan.commands.{name}")
        documentation = module.__doc__ or f"{name}\n\nThe help is left out by python -OO.\n\n"
        summary, description, example = documentation.split("\n\n", 2)
        command = commands.add_parser(
            name.replace("_", "-"),
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=description,
            epilog=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=module.run, kept=_KEPT, refuse=command.error)
        module.add(command)
        command.add_argument("--debug", action="store_true", help="show the whole error, for a bug report")
    return whole


if __name__ == "__main__":
    sys.exit(main())
