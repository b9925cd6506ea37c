"""`POST /predict`: reads, checks, queues and answers a request."""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
import time
import traceback
from typing import Any

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from lit_textclf.serving.dispatcher import Answered, Dispatcher
from lit_textclf.serving.metrics import ServerMetrics
from lit_textclf.serving.options import ServeOptions
from lit_textclf.serving.requests import Refused, Texts, parse

_RETRY_SECONDS = 1


class PredictEndpoint:
    """Answers requests for predictions.

    LitServe's own handler answers a body that is not JSON with 500, checks requests in the worker, where a bad one
    fails its whole batch, and has no limit of the queue.

    Args:
        dispatcher: has the workers answer.
        options: of the command.
        metrics: of the server.
        pairs: whether the model reads pairs of texts.
    """

    def __init__(self, dispatcher: Dispatcher, options: ServeOptions, metrics: ServerMetrics, *, pairs: bool) -> None:
        self.dispatcher, self.options, self.metrics, self.pairs = dispatcher, options, metrics, pairs

    async def handle(self, request: Request) -> Response:
        """The answer to a request, or an error of one line."""
        started = time.perf_counter()
        try:
            check_key(request, self.options.api_key)
            body = await self._body(request)
            texts = parse(body, pairs=self.pairs, max_texts=self.options.max_texts)
            answered = await self._answered(texts)
        except Refused as refused:
            self.metrics.refused(refused.status, refused.reason)
            return error_response(refused.status, refused.line)
        except ClientDisconnect:
            self.metrics.refused(400, "disconnected")
            return error_response(400, "the connection was closed")  # which nobody reads
        except Exception as error:
            self.metrics.refused(500, "bug")
            traceback.print_tb(error.__traceback__)
            print(f"{type(error).__name__}{f': {error}' if self.options.log_requests else ''}", file=sys.stderr)
            return error_response(500, "an error of the server, which is in its log")
        assert answered.answers is not None
        self.metrics.answered(answered.answers, answered.batch_texts, time.perf_counter() - started)
        return json_response(200, answered.answers[0] if texts.single else answered.answers)

    async def _body(self, request: Request) -> bytes:
        """The body, as far as it is allowed to be long and slow."""
        limit = self.options.max_body_bytes
        too_large = Refused(413, f"body: larger than {limit} bytes; send fewer texts a request", "body")
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.options.timeout):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise Refused(408, f"body: did not arrive within {self.options.timeout:g} s", "slow") from None
        return bytes(body)

    async def _answered(self, texts: Texts) -> Answered:
        """Waits for the answers to texts."""
        try:
            async with asyncio.timeout(self.options.timeout):
                answered = await self.dispatcher.answer(texts)
        except TimeoutError:
            raise Refused(504, f"no answer within {self.options.timeout:g} s", "timeout") from None
        if answered.answers is None:
            raise Refused(500, "the model failed on this request; the server's log has the error", "model")
        return answered


def check_key(request: Request, key: str | None) -> None:
    """Refuses a request without the server's key.

    Raises:
        Refused: with the headers that may carry it.
    """
    if key is None:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    if not hmac.compare_digest(given.strip().encode(), key.encode()):
        raise Refused(401, "no key, or a wrong one: send Authorization: Bearer KEY, or X-API-Key: KEY", "key")


def json_response(status: int, content: Any) -> Response:
    """Content as JSON, whose floats read back as they are."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body, status, media_type="application/json")


def error_response(status: int, line: str) -> Response:
    """An error of one line."""
    response = json_response(status, {"error": line})
    if status == 503:
        response.headers["Retry-After"] = str(_RETRY_SECONDS)
    elif status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif status in (408, 413):
        response.headers["Connection"] = "close"  # the rest of the body is not read
    return response
