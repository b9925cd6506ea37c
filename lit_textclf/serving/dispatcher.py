"""Batches the requests that wait, and hands each batch to a worker process that is free."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from lit_textclf.serving.requests import Refused, Texts
from lit_textclf.utils.messages import UserError, note

_STOP_SECONDS = 5.0
_RESTART_SECONDS = 1.0
_WATCH_SECONDS = 0.5


class Answered(NamedTuple):
    """What a worker sends back for a request.

    Attributes:
        answers: one for each text; None if the model failed on them.
        batch_texts: the texts of the batch, in the answer to its first request; 0 in those to the others.
    """

    answers: list[dict[str, Any]] | None
    batch_texts: int


class Worker(NamedTuple):
    """A worker process, and the connection on which it answers batches; first it says why it cannot, or nothing."""

    process: BaseProcess
    connection: Connection


class _Waiting(NamedTuple):
    texts: Texts
    answered: asyncio.Future[Answered]


class Dispatcher:
    """Has worker processes answer requests.

    LitServe's own way is four messages for each request through a third process, whose locks a dying worker may keep,
    and a batch that always waits for its timeout. Here a batch is two messages, and it is known who has it.

    Args:
        start: starts the worker with this number.
        max_texts: a batch with that many texts takes no more requests.
        batch_timeout: seconds that a batch waits for more requests; with 0 it takes what is there.
        max_queue: requests that may wait.

    Attributes:
        waiting: requests that are not answered yet.
    """

    def __init__(self, start: Callable[[int], Worker], max_texts: int, batch_timeout: float, max_queue: int) -> None:
        self._start, self._max_texts, self._batch_timeout, self._max_queue = start, max_texts, batch_timeout, max_queue
        self._workers: list[Worker] = []
        self._ready: set[int] = set()
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self.waiting = 0

    @property
    def ready(self) -> bool:
        """Whether all workers answer."""
        alive = [worker.process.is_alive() for worker in self._workers]
        return all(alive) and len(self._ready) == len(alive) > 0

    def start(self, number: int) -> None:
        """Starts workers, and waits until they are ready.

        Raises:
            UserError: if one of them cannot load the model.
        """
        self._threads = ThreadPoolExecutor(number, "worker")  # each waits for a worker's answer
        for index in range(number):
            self._workers.append(self._start(index))
        for index, worker in enumerate(self._workers):
            try:
                refused = worker.connection.recv()
            except EOFError:
                refused = "the model could not be loaded; the reason is above"
            if refused:
                raise UserError(refused)
            self._ready.add(index)

    async def answer(self, texts: Texts) -> Answered:
        """The answers to a request.

        Raises:
            Refused: if too many requests wait.
        """
        if self.waiting >= self._max_queue:
            raise Refused(503, f"{self.waiting} requests wait, which is the limit; try again later", "queue")
        waiting = _Waiting(texts, asyncio.get_running_loop().create_future())
        self.waiting += 1
        try:
            self._queue.put_nowait(waiting)
            return await waiting.answered
        finally:
            self.waiting -= 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Dispatches requests inside this context."""
        tasks = [asyncio.create_task(self._feed(number)) for number in range(len(self._workers))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, number: int) -> None:
        """Hands batches to a worker, and starts another one in its place if it dies."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            worker = self._workers[number]
            found = [Answered(None, 0)] * len(batch)
            try:
                if batch:
                    texts = [waiting.texts for waiting in batch]
                    found = await loop.run_in_executor(self._threads, _exchange, worker.connection, texts)
            except (EOFError, OSError):
                self._ready.discard(number)
            if not worker.process.is_alive():
                self._ready.discard(number)
            for waiting, answered in zip(batch, found, strict=True):
                if not waiting.answered.done():
                    waiting.answered.set_result(answered)
            while number not in self._ready:
                await self._restart(number)

    async def _next_batch(self) -> list[_Waiting]:
        """The requests that wait, as far as a batch takes them, without those that gave up; empty if none comes."""
        batch: list[_Waiting] = []
        texts, until = 0, time.monotonic() + _WATCH_SECONDS
        while texts < self._max_texts:
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    waiting = await self._queue.get()
            except TimeoutError:
                break
            if waiting.answered.done():
                continue
            if not batch:
                until = time.monotonic() + self._batch_timeout
            batch.append(waiting)
            texts += len(waiting.texts.firsts)
        return batch

    async def _restart(self, number: int) -> None:
        """Starts a worker again."""
        worker = self._workers[number]
        await asyncio.sleep(_RESTART_SECONDS)  # one that dies at once must not keep the machine busy
        worker.connection.close()
        note(f"worker {number} died (exit code {worker.process.exitcode}) and is started again")
        worker = self._workers[number] = self._start(number)
        with contextlib.suppress(EOFError):
            if not await asyncio.get_running_loop().run_in_executor(self._threads, worker.connection.recv):
                self._ready.add(number)

    def stop(self) -> None:
        """Ends the workers, which have nothing left to do."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.connection.send(None)
        until = time.monotonic() + _STOP_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._threads.shutdown()


def _exchange(connection: Connection, batch: Sequence[Texts]) -> list[Answered]:
    """Sends a batch to a worker, and waits for its answers."""
    connection.send(batch)
    return connection.recv()  # type: ignore[no-any-return]
