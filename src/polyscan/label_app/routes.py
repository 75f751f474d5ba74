"""The routes that polyscan answers in place of MONAI Label's own.

MONAI Label takes an upload's name away, keeps all uploads in one folder, reads any path of the server that a request
names, and lets ``params`` name another image than the request does.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, UploadFile
from fastapi.background import BackgroundTasks
from fastapi.responses import FileResponse, Response
from monailabel.config import settings
from monailabel.endpoints.train import run_model
from monailabel.endpoints.user.auth import RBAC
from requests_toolbelt import MultipartEncoder

from polyscan.errors import PolyscanError

if TYPE_CHECKING:
    from polyscan.label_app.app import PolyscanApp


class Output(str, Enum):
    """What of an answer is sent."""

    all = "all"
    image = "image"
    json = "json"
    dicom_seg = "dicom_seg"


def serve_routes(server: FastAPI, app: PolyscanApp) -> None:
    """Put polyscan's routes before MONAI Label's."""
    router = APIRouter()
    user = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
    router.add_api_route(
        f"{settings.MONAI_LABEL_API_STR}/infer/{{model}}", _infer_route(app), methods=["POST"], dependencies=[user]
    )
    router.add_api_route(
        f"{settings.MONAI_LABEL_API_STR}/train/",
        _train_route(app),
        methods=["POST"],
        dependencies=[Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))],
    )
    server.router.routes[:0] = router.routes


def _train_route(app: PolyscanApp) -> Callable[..., Any]:
    def train(params: dict[str, Any] | None = None, run_sync: bool = False) -> Any:
        """OHIF's *Update Model*, which names no model: the one in use is meant, not each in turn."""
        model = app.service.in_use
        return {model: {"result": run_model(model, (params or {}).get(model, params), run_sync), "detail": ""}}

    return train


def _infer_route(app: PolyscanApp) -> Callable[..., Any]:
    def infer(
        background: BackgroundTasks,
        model: str,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        output: Output = Output.all,
    ) -> Any:
        request = {**read_params(params), "output": output.value}
        folder = Path(tempfile.mkdtemp(prefix="polyscan-"))
        background.add_task(shutil.rmtree, folder, ignore_errors=True)  # once the answer has been sent
        try:
            if file is not None and file.filename:
                request["upload"] = keep_upload(file, folder / "upload")
            elif session_id:
                request["upload"] = session_image(app, session_id)
            elif image:
                request["image"] = image
            else:
                raise PolyscanError("The request names no image, no session and brings no file; expected one of them.")
            result, facts = app.answer(model, request, folder)
            return _response(result, facts, output)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, PolyscanError):
                raise HTTPException(status_code=422, detail=str(error)) from error
            raise

    return infer


def read_params(text: str) -> dict[str, Any]:
    """The parameters of a request; what names its image is not among them.

    Raises:
        HTTPException: 422 where they are no JSON object.
    """
    try:
        params = json.loads(text or "{}")
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise HTTPException(status_code=422, detail='params is no JSON object; expected one such as {"explain": true}.')
    return {name: value for name, value in params.items() if name not in ("model", "image", "upload", "study")}


def keep_upload(file: UploadFile, folder: Path) -> Path:
    """An uploaded file under its own name, which tells its modality, in a folder that nothing else lies in."""
    name = re.split(r"[/\\]", file.filename or "")[-1].lstrip(".") or "upload.nii.gz"
    folder.mkdir()
    with (folder / name).open("wb") as out:
        shutil.copyfileobj(file.file, out)
    return folder / name


def session_image(app: PolyscanApp, session_id: str) -> Path:
    """What was uploaded for a session.

    Raises:
        HTTPException: 404 where there is no such session.
    """
    session = app.sessions().get_session(session_id) if re.fullmatch(r"[\w-]+", session_id) else None
    if session is None:
        raise HTTPException(status_code=404, detail=f"There is no session {session_id!r}; it may have expired.")
    return Path(session.image)


def _response(result: Path, facts: dict[str, Any], output: Output) -> Any:
    if output is Output.json:
        return facts
    kind = {".json": "application/json", ".dcm": "application/dicom"}.get(result.suffix, "application/octet-stream")
    if output in (Output.image, Output.dicom_seg):
        return FileResponse(result, media_type=kind, filename=result.name)
    form = MultipartEncoder(
        fields={
            "params": (None, json.dumps(facts), "application/json"),
            "image": (result.name, result.read_bytes(), kind),
        }
    )
    return Response(content=form.to_string(), media_type=form.content_type)
