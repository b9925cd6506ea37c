from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import re
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_textclf import load, main
from tests.conftest import fit_command, sentences, shared_folder, write_csv, write_reviews
from tests.serving.running import Running

pytestmark = pytest.mark.slow

REQUESTS = int(os.environ.get("SERVE_REQUESTS", "1000"))
CLIENTS = 32
WORDS = ("good", "fine", "great", "bad", "awful", "poor", "film", "book", "meal", "the", "a", "was", "very", "not", ".")
Outcome = tuple[str, int | None, Any]


@pytest.fixture(scope="module")
def model(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX folder whose model gives different texts different probabilities."""
    folder = tmp_path_factory.mktemp("served")
    with shared_folder(folder):
        fit = [*fit_command(tiny_bert, write_reviews(folder)), "--metrics.baseline", "false"]
        main([*fit, "--model.head_init", "random", "--model.learning_rate", "0.03", "--trainer.max_epochs", "12"])
        main(["export", "--ckpt_path", "last", "--output", "model", "--format", "onnx"])
    return folder / "model"


@pytest.fixture(scope="module")
def answers(model: Path) -> dict[str, float]:
    """Texts, and the probability of the positive label that `classify` gives each."""
    draw = random.Random(1)
    texts = sorted({" ".join(draw.choices(WORDS, k=draw.randint(1, 14))) for _ in range(3000)})
    found = [answer["probabilities"]["positive"] for answer in load(model).classify(texts)]
    assert statistics.pstdev(found) > 0.1  # a mix-up shows
    return dict(zip(texts, found, strict=True))


def serving(model: Path, *options: str, **environment: str) -> Running:
    return Running("--engine", "onnx", "--model_dir", str(model), *options, **environment)


def post(port: int, body: bytes, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", body, {"Connection": "close", **headers})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def good(port: int, text: str) -> Outcome:
    status, _, body = post(port, json.dumps({"text": text}).encode())
    return "good", status, json.loads(body)["probabilities"]["positive"] if status == 200 else body


def broken(port: int, text: str) -> Outcome:
    return "broken", *post(port, json.dumps({"text": text}).encode()[:-1])[::2]


def oversized(port: int, text: str) -> Outcome:
    return "oversized", *post(port, json.dumps({"text": "x" * 30_000}).encode())[::2]


def cut_off(port: int, text: str) -> Outcome:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n{"text": "' + text.encode()
        )
    return "cut_off", None, None


def slow(port: int, text: str) -> Outcome:
    body = json.dumps({"text": text}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head + body[:5])
        time.sleep(0.2)
        connection.sendall(body[5:])
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        return "good", reply.status, json.loads(reply.read())["probabilities"]["positive"]


def kinds() -> Iterator[Callable[[int, str], Outcome]]:
    """Nine good requests of ten, and of the others each kind."""
    for bad in itertools.cycle((broken, oversized, cut_off, slow)):
        yield from (good,) * 9
        yield bad


def memory(process: int) -> int:
    """Bytes that a server and its workers hold."""
    parent = psutil.Process(process)
    return sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True)))


def worker_of(server: Running) -> psutil.Process:
    """The process with the model; another one of Python's cleans up."""
    (found,) = (each for each in psutil.Process(server.process.pid).children() if "spawn_main" in each.cmdline()[-2])
    return found


def wrong(outcomes: list[tuple[str, Outcome]], answers: dict[str, float]) -> list[Any]:
    """Requests whose reply is not what they should get."""
    expected = {"broken": 400, "oversized": 413, "cut_off": None}
    return [
        (text, outcome)
        for text, outcome in outcomes
        if (outcome[0] == "good" and (outcome[1] != 200 or abs(outcome[2] - answers[text]) > 1e-5))
        or (outcome[0] != "good" and outcome[1] != expected[outcome[0]])
    ]


def test_every_text_gets_its_own_answer(model: Path, answers: dict[str, float]) -> None:
    texts = itertools.islice(itertools.cycle(answers), REQUESTS)
    with serving(model, "--max_body_bytes", "20000") as server, ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda text: good(server.port, text), itertools.islice(answers, 200)))
        before = memory(server.process.pid)
        calls = [(text, clients.submit(kind, server.port, text)) for text, kind in zip(texts, kinds(), strict=False)]
        outcomes = [(text, call.result()) for text, call in calls]
        grown = memory(server.process.pid) - before
        assert wrong(outcomes, answers) == []
        assert len(outcomes) == REQUESTS
        assert grown < 100e6
        assert server.request("/health").status == 200
        assert server.stop() == 0
        assert "Traceback" not in "".join(server.log)


def test_sigterm_finishes_what_was_accepted(model: Path, answers: dict[str, float]) -> None:
    """Each request that the server's log has as answered is one that a client got, in full."""
    told = threading.Event()
    got: list[tuple[float, str, Outcome]] = []
    refused = 0
    waits = ("--batch_timeout", "0.7", "--max_batch_size", "512", "--log_requests", "true")
    with serving(model, *waits) as server:

        def client(number: int) -> None:
            nonlocal refused
            for text in itertools.islice(answers, number, None, CLIENTS):
                try:
                    outcome = good(server.port, text)
                except (OSError, http.client.HTTPException):
                    refused += 1
                    if told.is_set():
                        return
                    raise
                got.append((time.monotonic(), text, outcome))

        with ThreadPoolExecutor(CLIENTS) as clients:
            calls = [clients.submit(client, number) for number in range(CLIENTS)]
            time.sleep(2)
            while not (waiting := re.search(r"queue (\d+)", server.request("/metrics").body)) or int(waiting[1]) < 24:
                time.sleep(0.01)
            told.set()
            stopped = time.monotonic()
            assert server.stop() == 0
            for call in calls:
                call.result()
    assert wrong([(text, outcome) for _, text, outcome in got], answers) == []
    assert refused > 0
    assert sum(at > stopped for at, _, _ in got) >= 24  # they were in a batch that waited
    logged = sum('"POST /predict HTTP/1.1" 200' in line for line in server.log)
    assert logged == len(got)


def test_more_than_the_queue_takes_is_told_to_come_back(model: Path, answers: dict[str, float]) -> None:
    options = ("--max_queue", "8", "--batch_timeout", "1", "--max_batch_size", "512")
    with serving(model, *options) as server, ThreadPoolExecutor(200) as clients:
        bodies = [json.dumps({"text": text}).encode() for text in itertools.islice(answers, 200)]
        replies = list(clients.map(lambda body: post(server.port, body), bodies))
        counted = Counter(status for status, _, _ in replies)
        assert set(counted) == {200, 503}
        assert counted[200] >= 8
        for status, headers, body in replies:
            assert (headers["Retry-After"] == "1") == (status == 503)
            assert status == 200 or b"8 requests wait, which is the limit" in body


def test_late_and_slow_requests_get_an_answer(model: Path) -> None:
    with serving(model, "--timeout", "0.5") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{")
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
        worker = worker_of(server)
        worker.suspend()
        assert server.request("/predict", {"text": "good"}).status == 504
        worker.resume()
        assert server.request("/predict", {"text": "good"}).status == 200


def test_a_worker_that_dies_is_replaced_and_a_server_that_dies_leaves_none(model: Path) -> None:
    with serving(model) as server:
        worker = worker_of(server)
        worker.kill()
        assert server.request("/health").status == 503
        deadline = time.monotonic() + 60
        while server.request("/health").status == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert server.request("/predict", {"text": "good"}).status == 200
        children = psutil.Process(server.process.pid).children(recursive=True)
        server.process.send_signal(signal.SIGKILL)
        assert psutil.wait_procs(children, timeout=20)[1] == []


def test_a_checkpoint_of_pairs(tiny_bert: Path, tmp_path: Path) -> None:
    rows = [(text, other, label) for (text, label), (other, _) in itertools.pairwise(sentences(49))]
    files = dict.fromkeys(
        ("train", "validation"), write_csv(tmp_path / "pairs.csv", ["text_a", "text_b", "label"], rows)
    )
    main([*fit_command(tiny_bert, files), "--metrics.baseline", "false", "--model.head_init", "random"])
    checkpoint = str(tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt")
    firsts, seconds = [row[0] for row in rows], [row[1] for row in rows]
    expected = load(checkpoint).classify(firsts, seconds)
    with Running("--ckpt_path", checkpoint, "--workers_per_device", "2", "--top_k", "1") as server:
        found = server.request("/predict", {"texts": firsts, "text_pairs": seconds}).body
        assert [answer["label"] for answer in found] == [answer["label"] for answer in expected]
        assert [answer["score"] for answer in found] == pytest.approx(
            [answer["score"] for answer in expected], abs=1e-5
        )
        assert {len(answer["probabilities"]) for answer in found} == {1}
        single = server.request("/predict", {"text": firsts[0], "text_pair": seconds[0]}).body
        assert single["score"] == pytest.approx(expected[0]["score"], abs=1e-5)
        missing = server.request("/predict", {"text": firsts[0]})
        assert (missing.status, missing.body["error"]) == (422, "text_pair: missing, the model reads pairs of texts")
        info = server.request("/info").body
        assert info["reads_pairs"]
        assert "val_accuracy" in info["metrics"]
        assert server.stop() == 0


def test_a_key_is_asked_for(model: Path) -> None:
    with serving(model, "--api_key_env", "OUR_KEY", OUR_KEY="s3cret") as server:
        for path, content in (("/predict", {"text": "good"}), ("/info", None), ("/metrics", None)):
            assert server.request(path, content).status == 401
            assert server.request(path, content, Authorization="Bearer wrong").status == 401
            assert server.request(path, content, Authorization="Bearer s3cret").status == 200
            assert server.request(path, content, **{"X-API-Key": "s3cret"}).status == 200
        for path in ("/health", "/"):
            assert server.request(path).status == 200


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200)
NESTED = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner), max_leaves=20
)
FIELDS = st.sampled_from(["text", "texts", "text_pair", "text_pairs", "model", "__class__"])
BODIES = (
    st.dictionaries(FIELDS, NESTED, max_size=4).map(json.dumps).map(str.encode)
    | NESTED.map(json.dumps).map(str.encode)
    | st.binary(max_size=500)
    | st.sampled_from([b"[" * 100_000, b'{"text":' * 50_000, b'{"text": "' + b"x" * 10_000_000 + b'"}', b"1e999",
                       b'{"text": ' + b"9" * 10_000 + b"}", b'{"text": "<script>alert(1)</script>\\u0000\\u202e"}'])
)  # fmt: skip
NAMES = st.sampled_from(
    ["Content-Type", "Content-Encoding", "Transfer-Encoding", "Expect", "Range", "Host", "Accept-Encoding", "Upgrade",
     "Authorization", "X-Forwarded-For", "Cookie", "Connection"]
)  # fmt: skip
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=100) | st.sampled_from(
    ["chunked", "gzip", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "100-continue", "h2c",
     "x" * 20_000]
)  # fmt: skip


@pytest.fixture(scope="module")
def attacked(model: Path) -> Iterator[Running]:
    with serving(model, "--timeout", "2") as server:
        yield server
        assert server.request("/predict", {"text": "good"}).status == 200
        assert "Traceback" not in "".join(server.log)


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES, headers=st.dictionaries(NAMES, VALUES, max_size=3))
def test_hostile_requests_are_refused_in_one_line(attacked: Running, body: bytes, headers: dict[str, str]) -> None:
    try:
        status, _, answer = post(attacked.port, body, **headers)
    except (OSError, http.client.HTTPException, UnicodeError, ValueError):
        return  # the client refused to send it, or the server closed the connection before all was sent
    assert status < 500, answer
    assert b"Traceback" not in answer
    by_uvicorn = status == 400 and answer in (b"", b"Invalid HTTP request received.")  # cut off if more was sent
    assert status == 200 or by_uvicorn or set(json.loads(answer)) == {"error"}
    assert b"\n" not in answer
