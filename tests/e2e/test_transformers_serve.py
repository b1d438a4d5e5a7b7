"""`transformers serve`, a real OpenAI-compatible server, with the embedded model: images and words arrive."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsbench.models.hf_loading import TINY
from tests.cli import environment, lines, ok

for package in ("torch", "transformers", "fastapi", "uvicorn"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("transformers")), "serve", str(TINY), *options],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:  # ends with the process, so that a server that fails is no endless wait
        said.append(line)
        if "running on" in line:
            break
    else:
        pytest.fail("".join(said))
    yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.communicate(timeout=60)


@pytest.mark.slow
def test_a_served_model_says_what_it_says_in_this_process(url: str, tmp_path: Path) -> None:
    """The same weights on both roads: what differs would be lost pictures, templates or limits."""
    common = ["--judge", "overlap", "--limit", 2, "--max-tokens", 48, "--temperature", 0]
    there = ["--model", f"openai/{TINY}", "--base-url", url, "--max-connections", 1]
    ok("run", *there, *common, "--out", "served", cwd=tmp_path)
    ok("run", "--model", "tiny", "--dtype", "float32", *common, "--out", "here", cwd=tmp_path)
    texts = [
        {record["item"]: record["text"] for record in lines(tmp_path / run / "replies.jsonl")}
        for run in ("served", "here")
    ]
    assert len(texts[0]) == 2 and all(text.startswith("Step 1:") for text in texts[0].values())
    assert texts[0] == texts[1]
    usage = [record["usage"] for record in lines(tmp_path / "served/replies.jsonl")]
    assert all(counted["output_tokens"] == 48 for counted in usage)
