"""What `local.py` and `gpu.py` share: the same items through rsbench's batches and through plain `generate`.

The other side is what a user writes first: for each item the processor, `model.generate`, and a count of the
new tokens. Both sides use one open model, one processor and one limit, greedily, in one process.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from measure import ROOT

if TYPE_CHECKING:
    from rsbench.models.base import Request
    from rsbench.models.hf_loading import Loaded

sys.path.insert(0, str(ROOT))  # run from a checkout that is not installed, too


@dataclass(frozen=True)
class Opened:
    """A model that is open already, in the place of a checkpoint that would be opened on the first call."""

    source: str
    loaded: "Loaded"

    def identity(self, name: str) -> dict[str, str]:
        """Nothing here is recorded."""
        return {"model": name}

    def load(self, device: str | None) -> "Loaded":
        """Hand it over."""
        return self.loaded


def requests(items: int, max_tokens: int) -> list["Request"]:
    """The first `items` items of the bundled task, as a run would send them."""
    from rsbench.images import load_image
    from rsbench.models.base import GenParams, Message, Request
    from rsbench.records import digest

    folder = ROOT / "tasks" / "rsbench"
    prompt = (folder / "prompts" / "default.jinja").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    made = []
    for row in rows[:items]:
        images = tuple(load_image(folder / image["path"]) for image in row["images"])
        text = prompt.replace("{{ query }}", row["query"])
        made.append(Request((Message("user", text, images),), GenParams(max_tokens), digest(row["id"])))
    return made


def one_by_one(loaded: "Loaded", asked: list["Request"]) -> int:
    """Plain transformers, one item after the other; returns the new tokens."""
    import io

    import torch
    from PIL import Image

    new = 0
    for request in asked:
        message = request.messages[0]
        images = [Image.open(io.BytesIO(image.data)).convert("RGB") for image in message.images]
        parts = [*({"type": "image"} for _ in images), {"type": "text", "text": message.text}]
        text = loaded.processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False
        )
        inputs = loaded.processor(text=[text], images=images, return_tensors="pt", add_special_tokens=False)
        inputs = inputs.to(loaded.model.device)
        with torch.inference_mode():
            output = loaded.model.generate(
                **inputs, max_new_tokens=request.params.max_tokens, do_sample=False, num_beams=1
            )
        new += output.shape[1] - inputs["input_ids"].shape[1]
    return new


def batched(loaded: "Loaded", asked: list["Request"], size: int) -> int:
    """Rsbench's own queue and batches, all items waiting at once; returns the new tokens.

    Raises:
        RuntimeError: an item ended without a reply; a benchmark of a failure measures nothing.
    """
    from rsbench.models.hf import HFModel

    async def work() -> int:
        model = HFModel("measured", Opened("measured", loaded), None, size)  # type: ignore[arg-type]
        replies = await asyncio.gather(*(model.generate(request) for request in asked))
        await model.close()
        bad = [reply.status for reply in replies if reply.status not in ("ok", "truncated")]
        if bad:
            raise RuntimeError(f"items ended as {bad}")
        # The stop token is generated too, and plain `generate` counts it.
        return sum((r.usage.output_tokens or 0) + (r.status == "ok") for r in replies)

    return asyncio.run(work())


def compare(loaded: "Loaded", asked: list["Request"], sizes: list[int]) -> dict[str, dict[str, object]]:
    """One row for plain `generate` and one for each batch size, in one process on one device.

    Tokens a second are of wall time on a GPU and of processor time on a CPU (one thread there: the two are
    the same on an idle machine, and other programs can't change the second).
    """
    one_by_one(loaded, asked[:1])  # what is only paid once: kernels, caches
    batched(loaded, asked[: max(sizes)], max(sizes))
    on_gpu = loaded.model.device.type == "cuda"
    rows: dict[str, dict[str, object]] = {}
    slowest = 0.0
    for label, new, wall, cpu, peak in _measured(loaded, asked, sizes, on_gpu):
        rate = new / (wall if on_gpu else cpu)
        slowest = slowest or rate
        rows[label] = {
            "wall_s": round(wall, 2),
            "cpu_s": round(cpu, 2),
            "new_tokens": new,
            "tokens_per_s": round(rate, 1),
            "ratio": round(rate / slowest, 2),
            **({"peak_gib": peak} if on_gpu else {}),
        }
        sys.stderr.write(f"{label}: {rows[label]}\n")
    return rows


def _measured(
    loaded: "Loaded", asked: list["Request"], sizes: list[int], on_gpu: bool
) -> Iterator[tuple[str, int, float, float, float]]:
    import torch

    for size in (None, *sizes):
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        start, busy = time.perf_counter(), time.process_time()
        new = one_by_one(loaded, asked) if size is None else batched(loaded, asked, size)
        wall, cpu = time.perf_counter() - start, time.process_time() - busy
        peak = round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else 0.0
        label = "generate, one by one" if size is None else f"rsbench, batches of {size}"
        yield label, new, wall, cpu, peak
