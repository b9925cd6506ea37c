"""The server: LitServe's processes and queues around our endpoints."""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import importlib.resources
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from litserve import LitServer
from litserve.loops import inference_worker
from starlette.exceptions import HTTPException

from lit_textclf.serving.dispatcher import Dispatcher, Worker
from lit_textclf.serving.endpoint import PredictEndpoint, check_key, error_response, json_response
from lit_textclf.serving.metrics import ServerMetrics
from lit_textclf.serving.options import ServeOptions
from lit_textclf.serving.requests import SCHEMA, Refused
from lit_textclf.serving.served_model import ServedModel
from lit_textclf.serving.worker import TextAPI
from lit_textclf.utils.messages import UserError, note, still_working
from lit_textclf.version import __version__

_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; connect-src 'self'; " \
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # fmt: skip


class TextServer(LitServer):  # type: ignore[misc]
    """Serves a model.

    LitServe has the application, the devices, and the worker processes. Here this process itself speaks HTTP, so that a
    signal first ends that, with all that was accepted, and then the workers; LitServe 0.2.19 stops the other way round.

    Args:
        served: the model.
        options: of the command.
        accelerator: cpu, cuda or mps.
    """

    def __init__(self, served: ServedModel, options: ServeOptions, accelerator: str = "cpu") -> None:
        self.served, self.options = served, options
        cores, workers = os.cpu_count() or 1, options.workers_per_device
        shared = max(1, cores // workers) if accelerator == "cpu" and workers > 1 else None
        self.dispatcher = Dispatcher(
            self._start_worker, options.max_batch_size, options.batch_timeout, options.max_queue
        )
        self.metrics = ServerMetrics(served.classes, lambda: self.dispatcher.waiting)
        self._model_info = served.info()
        self._html = importlib.resources.files("lit_textclf.serving").joinpath("page.html").read_text(encoding="utf-8")
        api = TextAPI(served, shared, options.log_requests)
        super().__init__(api, accelerator=accelerator, workers_per_device=workers, timeout=options.timeout)

    # Endpoints --------------------------------------------------------------------------------------------------------

    def _register_internal_endpoints(self) -> None:
        """The page, `/health`, `/info` and `/metrics`, in place of LitServe's."""
        app = self.app
        app.title, app.version = "lit-textclf", __version__
        # Their pages load scripts from another host.
        app.router.routes = [route for route in app.router.routes if getattr(route, "path", "") == "/openapi.json"]
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(Refused, _refused)
        for path, endpoint, summary in (
            ("/", self._page, "The page to try the model"),
            ("/health", self._health, "200 if the model answers, otherwise 503"),
            ("/info", self._info, "Labels, task, versions, metrics of the run, limits"),
            ("/metrics", self._metrics, "For Prometheus"),
        ):
            app.add_api_route(path, endpoint, methods=["GET"], summary=summary)

    async def _page(self) -> Response:
        script = self._html.partition("<script>")[2].partition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        headers = {"Content-Security-Policy": _PAGE_POLICY.format(script=digest), "X-Content-Type-Options": "nosniff"}
        return Response(self._html, headers=headers, media_type="text/html")

    async def _health(self) -> Response:
        ready = self.dispatcher.ready
        return Response("ok" if ready else "not ready", 200 if ready else 503, media_type="text/plain")

    async def _info(self, request: Request) -> Response:
        check_key(request, self.options.api_key)
        limits = ("max_body_bytes", "max_texts", "max_queue", "timeout", "max_batch_size")
        return json_response(
            200, {**self._model_info, "limits": {name: getattr(self.options, name) for name in limits}}
        )

    async def _metrics(self, request: Request) -> Response:
        check_key(request, self.options.api_key)
        content, kind = self.metrics.text()
        return Response(content, headers={"Content-Type": kind})

    def _register_api_endpoints(self, lit_api: TextAPI, request_type: Any, response_type: Any) -> None:
        """`/predict`, in place of LitServe's."""
        endpoint = PredictEndpoint(self.dispatcher, self.options, self.metrics, pairs=self.served.reads_pairs)
        body = {"required": True, "content": {"application/json": {"schema": SCHEMA}}}

        async def predict(request: Request) -> Response:
            return await endpoint.handle(request)

        self.app.add_api_route(
            lit_api.api_path, predict, methods=["POST"], openapi_extra={"requestBody": body},
            summary="What classify answers: an object for text, a list for texts",
        )  # fmt: skip

    # Processes --------------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serves until SIGTERM or Ctrl-C, and then answers what it has accepted.

        Raises:
            UserError: if the port is taken, or a worker cannot load the model.
        """
        with contextlib.closing(self._listen()) as listener:
            try:
                with still_working("loading the model"):
                    self.dispatcher.start(len(self._devices()))
                http = self._http()
                listener.listen(http.backlog)
                host, port = listener.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                note(f"serving {self.served.stored.path} at http://{shown}:{port}/ (Ctrl-C stops)")
                with _stopped_by_signals():
                    uvicorn.Server(http).run([listener])
            finally:
                self.dispatcher.stop()

    def _devices(self) -> list[str]:
        """The device of each worker, as torch names it."""
        found = self._inference_workers_config_for_api(self.lit_api.api_path)
        return [device if isinstance(device, str) else device[0] for device in found]

    def _start_worker(self, number: int) -> Worker:
        """Starts LitServe's worker process, with a connection in place of LitServe's queues."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments: tuple[Any, ...] = (
            self.lit_api,
            self._devices()[number],
            number,
            theirs,
            None,
            {},
            self._callback_runner,
            False,
        )
        process = context.Process(target=inference_worker, args=arguments, name=f"worker-{number}", daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        return Worker(process, ours)

    def _listen(self) -> socket.socket:
        """The socket of the server."""
        host, port = self.options.host, self.options.port
        with contextlib.ExitStack() as stack:
            try:
                family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
                listener = stack.enter_context(socket.socket(family, kind, protocol))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
            except OSError as error:
                raise UserError(f"--host {host} --port {port}: {error.strerror}; choose others") from None
            stack.pop_all()
        return listener

    def _http(self) -> uvicorn.Config:
        """The settings of HTTP. Of uvicorn's parsers, h11 has a limit for headers, 64 KB."""
        log, timeout = self.options.log_requests, self.options.timeout
        lines = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
        lines["handlers"]["access"]["stream"] = "ext://sys.stderr"
        return uvicorn.Config(
            self.app, http="h11", ws="none", lifespan="on", log_level="info" if log else "warning", access_log=log,
            log_config=lines, server_header=False, proxy_headers=False, limit_concurrency=self.options.max_connections,
            timeout_graceful_shutdown=int(2 * timeout) + 1,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Dispatches requests while the application runs."""
        async with self.dispatcher.running():
            yield


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ignores SIGTERM and SIGINT, which uvicorn handles and then raises once more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.signal(name, signal.SIG_IGN) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


async def _http_error(request: Request, error: Exception) -> Response:
    """Errors of the router, as 404 and 405, in the form of the others."""
    assert isinstance(error, HTTPException)
    response = error_response(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return error_response(refused.status, refused.line)
