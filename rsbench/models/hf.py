"""Local models through transformers: any checkpoint the image-text-to-text or causal-LM auto classes open.

Calls that are waiting at the same time are answered in one left-padded batch by one worker thread.
Safetensors only, `trust_remote_code` off. A sampled reply draws its noise from a generator seeded by its own
content key, so that it does not depend on which calls shared its batch.
"""

import asyncio
import hashlib
import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsbench.models.base import GenParams, ProviderError, Request
from rsbench.types import Reply, Usage, UserError

if TYPE_CHECKING:
    import torch

TINY = Path(__file__).parent / "tiny"
_HASHED = (".json", ".safetensors", ".model", ".jinja", ".txt")


class HFModel:
    """A transformers model in this process. Loading happens on the first call, in the worker thread."""

    def __init__(self, name: str, source: str, family: str | None, batch_size: int = 16) -> None:
        self.name = name
        self.family = family
        self.account = f"hf:{source}"
        self.batch_size = batch_size
        self._source = source
        self._identity = {"provider": "hf", "model": source, "revision": "main"}
        if Path(source).is_dir():  # a local folder is named by what it holds, not by where it lies
            self._identity |= {"model": name, "revision": folder_hash(Path(source))}
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._wake: asyncio.Event | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rsbench-hf")
        self._loaded: tuple[Any, Any] | None = None

    def identity(self) -> dict[str, str]:
        """Name and revision; of a local folder, the hash of its config, tokenizer and weights."""
        return dict(self._identity)

    async def generate(self, request: Request) -> Reply:
        """Wait for a place in a batch, then for the batch."""
        if self._loop_task is None:
            self._wake = asyncio.Event()
            self._loop_task = asyncio.create_task(self._serve())
        assert self._wake is not None
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Stop the worker and drop the weights."""
        if self._loop_task is not None:
            self._loop_task.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._loaded = None

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._wake is not None
        while True:
            await self._wake.wait()
            await asyncio.sleep(0.01)  # let callers that are about to ask join this batch
            batch, self._waiting = self._waiting[: self.batch_size], self._waiting[self.batch_size :]
            if not self._waiting:
                self._wake.clear()
            batch = [(request, future) for request, future in batch if not future.done()]
            if not batch:
                continue
            try:
                replies = await loop.run_in_executor(self._thread, self._answer, [r for r, _ in batch])
            except Exception as error:  # whatever torch met belongs to these calls, not to the worker
                for _, future in batch:
                    if not future.done():
                        future.set_exception(_as_failure(error))
                continue
            for (_, future), reply in zip(batch, replies, strict=True):
                if not future.done():
                    future.set_result(reply)

    def _answer(self, requests: list[Request]) -> list[Reply]:
        """One batch. Requests with different length limits share it: each is cut at its own."""
        import torch

        start = time.perf_counter()
        model, processor = self._load()
        tokenizer = getattr(processor, "tokenizer", processor)
        inputs = _inputs(processor, requests).to(model.device)
        width = inputs["input_ids"].shape[1]
        limit = max(r.params.max_tokens for r in requests)
        window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=max(1, min(limit, window - width if window else limit)),
                do_sample=False,  # sampling happens in _KeyedSampler, row by row
                num_beams=1,
                logits_processor=[_KeyedSampler(requests, model.device)],
            )
        seconds = time.perf_counter() - start
        stops = _stop_ids(model, tokenizer)
        prompts = inputs["attention_mask"].sum(dim=1).tolist()
        replies = []
        for row, request, n_prompt in zip(output[:, width:].tolist(), requests, prompts, strict=True):
            replies.append(_reply(row, request, n_prompt, stops, tokenizer, self.name, seconds))
        return replies

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = load(self._source)
        return self._loaded


def load(source: str) -> tuple[Any, Any]:
    """Open (model, processor); a text-only checkpoint gives (model, tokenizer).

    Raises:
        UserError: nothing usable there, with transformers' own words.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging
    except ImportError as error:
        raise UserError(f"Local models need the extra [hf]: pip install 'rsbench[hf]' ({error})") from error
    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
    options["dtype"] = torch.bfloat16 if device == "cuda" else torch.float32
    try:
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=False)
        sees = hasattr(processor, "image_processor")
        kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        model = kind.from_pretrained(source, **options).to(device).eval()
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"Can't load the model {source!r}: {error}") from error
    tokenizer = getattr(processor, "tokenizer", processor)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, processor


def folder_hash(folder: Path) -> str:
    """sha256 over the names and bytes of a checkpoint's config, tokenizer and weights."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in _HASHED and p.name != "training.json"):
        with path.open("rb") as file:
            total.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


class _KeyedSampler:
    """Logits processor: temperature, top-p, then Gumbel noise from each row's own generator, for argmax.

    Adding Gumbel noise to log-probabilities and taking the maximum samples from them exactly (Gumbel-max).
    """

    def __init__(self, requests: list[Request], device: "torch.device") -> None:
        import torch

        self._params: list[GenParams] = [r.params for r in requests]
        self._rngs = [torch.Generator(device).manual_seed(int(r.key[:15], 16)) for r in requests]

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """`scores` (batch, vocabulary) → the same shape."""
        import torch

        rows = []
        for row, params, rng in zip(scores, self._params, self._rngs, strict=True):
            if params.temperature:
                logp = _top_p((row.float() / params.temperature).log_softmax(-1), params.top_p)
                uniform = torch.rand(row.shape, generator=rng, device=row.device).clamp_min(1e-20)
                row = logp - (-uniform.log()).log()
            rows.append(row)
        return torch.stack(rows).to(scores.dtype if scores.dtype.is_floating_point else torch.float32)


def _top_p(logp: "torch.Tensor", top_p: float | None) -> "torch.Tensor":
    """Keep the smallest set of tokens whose probability reaches `top_p`; the rest become −inf."""
    if top_p is None or top_p >= 1:
        return logp
    ordered, index = logp.sort(descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    return logp.index_fill(-1, index[before >= top_p], float("-inf"))


def _inputs(processor: Any, requests: list[Request]) -> Any:
    from PIL import Image

    sees = hasattr(processor, "image_processor")
    texts, images = [], []
    for request in requests:
        turns = []
        for message in request.messages:
            parts: list[dict[str, str]] = [{"type": "image"} for _ in message.images]
            text: list[dict[str, str]] = [{"type": "text", "text": message.text}]
            turns.append({"role": message.role, "content": parts + text if sees else message.text})
            images += [Image.open(io.BytesIO(i.data)).convert("RGB") for i in message.images]
        texts.append(processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    if images and not sees:
        raise UserError("This checkpoint reads text only, and the items have images.")
    options: dict[str, Any] = {"return_tensors": "pt", "padding": True, "add_special_tokens": False}
    if images:
        # One flat list in reading order: every image placeholder of every text takes the next one.
        return processor(text=texts, images=images, **options)
    return processor(text=texts, **options)


def _stop_ids(model: Any, tokenizer: Any) -> set[int]:
    ids = model.generation_config.eos_token_id
    found = set(ids if isinstance(ids, list) else [ids]) | {tokenizer.eos_token_id}
    return {i for i in found if i is not None}


def _reply(
    row: list[int],
    request: Request,
    n_prompt: int,
    stops: set[int],
    tokenizer: Any,
    name: str,
    seconds: float,
) -> Reply:
    end = next((n for n, token in enumerate(row) if token in stops), len(row))
    stopped, end = end < len(row), min(end, request.params.max_tokens)
    text = tokenizer.decode(row[:end], skip_special_tokens=True)
    finished = stopped and end < request.params.max_tokens
    status = "truncated" if not finished else "ok" if text.strip() else "empty"
    return Reply(
        status=status,  # type: ignore[arg-type] # one of the three literals above
        text=text,
        finish_reason="stop" if finished else "length",
        model=name,
        usage=Usage(n_prompt, end),
        latency_s=round(seconds, 4),
    )


def _as_failure(error: Exception) -> Exception:
    if isinstance(error, UserError):
        return error
    return ProviderError("bad_request", f"{type(error).__name__}: {error}")
