"""The routes that polyscan answers in place of MONAI Label's own.

MONAI Label takes an upload's name away, keeps all uploads in one folder, reads any path of the server that a request
names, and lets ``params`` name another image than the request does. What OHIF asks of the DICOMweb server it passes on
without the query, so that every patient's studies are listed as one patient's.
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

from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.background import BackgroundTasks
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from monailabel.config import settings
from monailabel.endpoints.batch_infer import run as run_batch
from monailabel.endpoints.datastore import add_image, update_image_info, update_label_info
from monailabel.endpoints.proxy import proxy_dicom
from monailabel.endpoints.train import run_model
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from requests import RequestException
from requests_toolbelt import MultipartEncoder

from polyscan.errors import PolyscanError, sentence
from polyscan.label_app.service import UnknownStudyError
from polyscan.label_app.tasks import StudyBatchInfer

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
    annotator = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
    admin = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))

    def add(path: str, route: Callable[..., Any], who: Any, *methods: str) -> None:
        router.add_api_route(settings.MONAI_LABEL_API_STR + path, route, methods=list(methods), dependencies=[who])

    add("/infer/{model}", _infer_route(app), user, "POST")
    add("/batch/infer/{model}", _batch_route(app), admin, "POST")
    add("/train/", _train_in_use_route(app), admin, "POST")
    add("/train/{model}", _train_route(app), admin, "POST")
    for path in ("/datastore/", "/datastore/image"):
        add(path, _add_image, annotator, "PUT")
    add("/datastore/image/info", _note_image, annotator, "PUT")
    add("/datastore/label/info", _note_label, annotator, "PUT")
    add("/infer/wsi/{name}", _not_served("whole-slide images"), user, "POST")
    add("/scoring/{name}", _not_served("scoring"), admin, "POST")
    add("/model/{name}", _not_served("files of weights"), admin, "GET", "PUT", "DELETE")
    for service in ("qido", "wado", "stow"):
        add(f"/proxy/dicom/{service}/{{path:path}}", _proxy_route(app, service), user, "GET", "POST")
    server.router.routes[:0] = router.routes
    server.exception_handlers.update({error: _refused(status) for error, status in REFUSALS.items()})
    server.middleware_stack = server.build_middleware_stack()  # the one that is there was built without them


def _add_image(
    background: BackgroundTasks,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Annotated[str, Form()] = "{}",
) -> Any:
    return add_image(background, image, json.dumps(object_of("params", params)), file)


def _note_image(image: str, info: Annotated[str, Form()] = "{}") -> Any:
    return update_image_info(image, json.dumps(object_of("info", info)))


def _note_label(label: str, tag: str, info: Annotated[str, Form()] = "{}") -> Any:
    return update_label_info(label, tag, json.dumps(object_of("info", info)))


def _not_served(what: str) -> Callable[..., Any]:
    def refuse() -> None:
        raise HTTPException(status_code=404, detail=f"This server has no {what}.")

    return refuse


def _refused(status: int) -> Callable[..., Any]:
    def refuse(_: Request, error: Exception) -> Response:
        """A sentence in place of a failure."""
        return JSONResponse({"detail": _said(error)}, status_code=status)

    return refuse


def _said(error: Exception) -> str:
    if isinstance(error, RequestValidationError):
        wrong = (f"{' '.join(map(str, one['loc'][1:])) or 'the body'}: {one['msg']}" for one in error.errors())
        return f"The request cannot be read: {'; '.join(wrong)}."
    if isinstance(error, json.JSONDecodeError):
        return f"A parameter is no JSON: {error}."
    return str(getattr(error, "msg", "")) or sentence(error)


REFUSALS: dict[type[Exception], int] = {
    RequestValidationError: 422,
    json.JSONDecodeError: 422,
    PolyscanError: 422,
    UnknownStudyError: 404,
    shutil.ReadError: 422,  # an upload that is said to be an archive and is none
    MONAILabelException: 404,  # of a model, strategy or scoring method that there is not
    Exception: 500,  # whatever a library makes of a bad scan; the server's log has all of it
}
"""The status of each error. Of a class that has none its nearest base counts."""


def _batch_route(app: PolyscanApp) -> Callable[..., Any]:
    def batch(
        model: str,
        images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
        params: dict[str, Any] | None = None,
        run_sync: bool = False,
    ) -> Any:
        app.known(model)
        StudyBatchInfer.check(params or {})
        return run_batch(model, images, params, run_sync)

    return batch


def _train_in_use_route(app: PolyscanApp) -> Callable[..., Any]:
    def train(params: dict[str, Any] | None = None, run_sync: bool = False) -> Any:
        """OHIF's *Update Model*, which names no model: the one in use is meant, not each in turn.

        Its parameters stand under the names of models.
        """
        model, sent = app.service.in_use, params or {}
        own = sent.get(model, {name: value for name, value in sent.items() if name not in app.service.bundles})
        return {model: {"result": _start(app, model, own, run_sync, True), "detail": ""}}

    return train


def _train_route(app: PolyscanApp) -> Callable[..., Any]:
    def train(model: str, params: dict[str, Any] | None = None, run_sync: bool = False, enqueue: bool = False) -> Any:
        return _start(app, model, params or {}, run_sync, enqueue)

    return train


def _start(app: PolyscanApp, model: str, params: Any, run_sync: bool, enqueue: bool) -> Any:
    """Begin a training whose parameters mean something: what goes wrong in a process of its own no client is told."""
    app.known(model)
    if not isinstance(params, dict):
        raise PolyscanError(f"The parameters of {model} are {params!r}; expected a JSON object such as {{}}.")
    app.trainer(model).check(params)
    return run_model(model, params, run_sync, enqueue)


def _proxy_route(app: PolyscanApp, service: str) -> Callable[..., Any]:
    async def proxy(request: Request, path: str) -> Response:
        """What OHIF asks of the DICOMweb server, with its query."""
        if not app.studies.startswith(("http://", "https://")):
            raise HTTPException(status_code=404, detail="The studies lie in a folder; OHIF needs a DICOMweb server.")
        query = f"?{request.url.query}" if request.url.query else ""
        try:
            response: Response = await proxy_dicom(request, service, path + query)
        except RequestException as error:
            detail = f"The DICOMweb server does not answer ({type(error).__name__})."
            raise HTTPException(status_code=502, detail=detail) from error
        return response

    return proxy


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
            result, facts = app.predict(model, request, folder)
            return _response(result, facts, output)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    return infer


def read_params(text: str) -> dict[str, Any]:
    """The parameters of a request; what names its image is not among them.

    Raises:
        PolyscanError: they are no JSON object.
    """
    sent = object_of("params", text).items()
    return {name: value for name, value in sent if name not in ("model", "image", "upload", "study")}


def object_of(name: str, text: str) -> dict[str, Any]:
    """A JSON object that a client sent as text; nothing is an empty one.

    Raises:
        PolyscanError: it is something else.
    """
    try:
        sent = json.loads(text or "{}")
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise PolyscanError(f'{name} is no JSON object; expected one such as {{"explain": true}}.')
    return sent


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
