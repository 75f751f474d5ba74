"""Answer for studies that an archive sends, and send the results.

Receive images by DICOM's C-STORE, answer for each study with a bundle once
nothing more of it comes, and send the results by C-STORE or STOW-RS. What was
confirmed is on the disk: a process that is killed loses nothing.

Example:
  polyscan listen petct_staging -o out/ --port 11112 --aet POLYSCAN --send PACS@10.0.0.1:104
"""

from __future__ import annotations

import argparse

from polyscan.commands.options import (
    add_bundle,
    add_inference_options,
    add_output,
    add_weights,
    at_least,
    inference_options,
    stopped_by_signals,
)


def add(command: argparse.ArgumentParser) -> None:
    add_bundle(command)
    add_output(command)
    command.add_argument("--port", type=at_least(0), default=11112, help="to listen at (11112); 0: any that is free")
    command.add_argument("--host", default="", help="address to listen at; every one where not given")
    command.add_argument("--aet", default="POLYSCAN", help="application entity title (POLYSCAN)")
    command.add_argument(
        "--send",
        metavar="ARCHIVE",
        action="append",
        default=[],
        help="send the results to AE@HOST:PORT, or to the https address of a DICOMweb server; may be given again",
    )
    add_weights(command)
    command.add_argument(
        "--quiet", type=at_least(0, float), default=60.0, help="seconds without an image that end a study (60)"
    )
    command.add_argument(
        "--keep-days",
        type=at_least(0, float),
        default=1.0,
        help="days that images are kept after the last one of their study came, and until its results were sent (1)",
    )
    command.add_argument(
        "--keep-failed-days", type=at_least(0, float), default=7.0, help="the same of studies that failed (7)"
    )
    command.add_argument(
        "--reserve", type=at_least(0, float), default=1.0, help="GB of the disk that images may not take (1)"
    )
    command.add_argument("--device", default="", help="that the network runs on, such as cuda:0")
    add_inference_options(command)


def run(options: argparse.Namespace) -> None:
    import logging

    from polyscan.hospital import listen

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("polyscan").setLevel(logging.INFO)
    for library in ("pynetdicom", "dicomweb_client"):  # which say in several lines what is said here in one
        logging.getLogger(library).setLevel(logging.CRITICAL)
    listen(
        options.bundle,
        options.output,
        port=options.port,
        aet=options.aet,
        host=options.host,
        send=options.send,
        weights=options.weights,
        quiet=options.quiet,
        keep_days=options.keep_days,
        keep_failed_days=options.keep_failed_days,
        reserve=round(options.reserve * 1e9),
        device=options.device,
        options=inference_options(options),
        stop=stopped_by_signals(),
    )
