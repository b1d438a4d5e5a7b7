"""Local models through transformers: any checkpoint the image-text-to-text or causal-LM auto classes open.

One queue a model, one worker thread a device: calls that wait at the same time are answered together. How a
checkpoint is opened is in `hf_loading`, what happens within a batch in `hf_batching`.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rsbench.models.base import Request
from rsbench.models.hf_batching import Worker, choose_batch
from rsbench.models.hf_loading import Checkpoint
from rsbench.types import Reply


class HFModel:
    """A transformers model in this process, one copy a device. Loading happens on the first call."""

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        family: str | None,
        batch_size: int = 16,
        devices: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.family = family
        self.account = f"hf:{checkpoint.source}"
        places = devices or (None,)
        checkpoint = checkpoint.resolved(places)
        self._identity = checkpoint.identity(name)
        self._workers = [Worker(partial(checkpoint.load, place), name, batch_size) for place in places]
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="rsbench-hf") for _ in places]
        self._waiting: list[tuple[Request, asyncio.Future[Reply]]] = []
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def identity(self) -> dict[str, str]:
        """Name, precision, commit; of a folder or an adapter, the hash of config, tokenizer and weights."""
        return dict(self._identity)

    async def generate(self, request: Request) -> Reply:
        """Wait for a place in a batch, then for the batch."""
        if not self._tasks:
            pairs = zip(self._workers, self._threads, strict=True)
            self._tasks = [asyncio.create_task(self._serve(worker, thread)) for worker, thread in pairs]
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Stop the workers and drop the weights."""
        for task in self._tasks:
            task.cancel()
        for thread in self._threads:
            thread.shutdown(wait=True, cancel_futures=True)
        if self._tasks:  # a model that was never asked has loaded nothing, not even torch
            for worker in self._workers:
                worker.free()
        self._tasks = []

    async def _serve(self, worker: Worker, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            await asyncio.sleep(0.01)  # let callers that are about to ask join this batch
            batch = self._take(worker.batch_size)
            if not batch:
                continue
            try:
                replies = await loop.run_in_executor(thread, worker.answer, [request for request, _ in batch])
            # such as a checkpoint that can't be opened: each caller must hear of it
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), reply in zip(batch, replies, strict=True):
                if future.done():
                    continue
                if isinstance(reply, Reply):
                    future.set_result(reply)
                else:
                    future.set_exception(reply)

    def _take(self, size: int) -> list[tuple[Request, asyncio.Future[Reply]]]:
        """Take the next batch out of the queue; callers that gave up meanwhile are forgotten."""
        live = [(request, future) for request, future in self._waiting if not future.done()]
        chosen = set(choose_batch([request for request, _ in live], size))
        self._waiting = [pair for n, pair in enumerate(live) if n not in chosen]
        if not self._waiting:
            self._wake.clear()
        return [live[n] for n in sorted(chosen)]
