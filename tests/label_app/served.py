"""A MONAI Label server in its own environment, and a client of it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel

from processes import accepts, free_port, until

ROOT = Path(__file__).resolve().parents[2]
BRAIN, GLIOMA = "brain_mri_tumour_segmentation", "glioma_grading_classification"
SERVER = ROOT / ".venv-label" / "bin"
PLUGINS = ROOT / ".venv-label" / "monailabel" / "plugins"
"""What MONAI Label's wheel brings for the viewers."""


class Client:
    """What Slicer's and OHIF's plug-ins send, with the standard library."""

    def __init__(self, port: int, process: subprocess.Popen, log: Path) -> None:
        self.url, self.process, self.log = f"http://127.0.0.1:{port}", process, log
        self.temporary = log.parent / "temporary"

    def ask(self, method: str, path: str, *, fields=None, file=None, files=(), body=None) -> tuple[int, bytes]:
        """Status and answer."""
        files = [*files, *([file] if file else [])]
        data, headers = None, {}
        if body is not None:
            data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        elif fields is not None or files:
            data, headers = multipart(fields or {}, files)
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                content = answer.read()
                return answer.status, gzip.decompress(content) if answer.headers[
                    "Content-Encoding"
                ] == "gzip" else content
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, method: str, path: str, **what):
        """The answer of a request that must succeed."""
        status, answer = self.ask(method, path, **what)
        assert status == 200, (status, answer[:500], self.log.read_text()[-2000:])
        return json.loads(answer)

    def memory(self) -> int:
        """MiB that the server's processes hold."""
        pages = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(folder.name)) == self.process.pid:
                    pages += int((folder / "statm").read_text().split()[1])
            except (OSError, ProcessLookupError):
                continue
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def multipart(fields: dict[str, str], files: Iterable[tuple[str, Path]]) -> tuple[bytes, dict[str, str]]:
    """A form as a browser sends it."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()
    ]
    for name, path in files:
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
        parts.append(head.encode() + path.read_bytes() + b"\r\n")
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), {"Content-Type": f"multipart/form-data; boundary={mark}"}


@contextmanager
def serve(studies: str, folder: Path) -> Iterator[Client]:
    """A server of a folder of studies or of a DICOMweb address, up."""
    port, log = free_port(), folder / "log.txt"
    (folder / "temporary").mkdir()
    environment = {**os.environ, "PATH": f"{SERVER}:{os.environ['PATH']}", "HOME": str(folder)}
    environment["TMPDIR"] = str(folder / "temporary")
    app = ROOT / "src" / "polyscan" / "label_app"
    for name in ("model", "lib", "logs", "bin"):  # made by each server that does not find them, even by two at once
        (app / name).mkdir(exist_ok=True)
    command = [str(SERVER / "monailabel"), "start_server", "--app", str(app)]
    command += ["--studies", studies, "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    found = Client(port, process, log)
    try:
        until(lambda: accepts(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()[-3000:]
        yield found
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def image_of(answer: bytes, tmp_path: Path) -> nibabel.Nifti1Image:
    """The image that an answer is."""
    path = tmp_path / f"{uuid.uuid4().hex}.nii.gz"
    path.write_bytes(answer)
    return nibabel.load(path)


def parts_of(answer: bytes) -> tuple[dict, bytes]:
    """Parameters and mask of an answer that is a form."""
    mark = answer.split(b"\r\n", 1)[0]
    params, image = (part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in answer.split(mark)[1:3])
    return json.loads(params), image
