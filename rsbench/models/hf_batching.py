"""One batch through an open checkpoint: which calls share it, each with its own parameters.

A sampled reply draws its noise from a generator seeded by its own content key, and each is cut at its own
limit, so that a reply does not depend on the company it had. A batch that fails is halved until the failure
stands alone.
"""

import gc
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from rsbench.models.base import GenParams, ProviderError, Request
from rsbench.models.hf_constraint import Schemas
from rsbench.models.hf_loading import Loaded
from rsbench.models.hf_tokens import TopTokens, token_bytes
from rsbench.types import Reply, Usage, UserError

if TYPE_CHECKING:
    import torch

IMAGE_CHARS = 2000  # about what an image's tokens weigh beside text, for sorting alone


class Worker:
    """One copy of a model on one device, for one thread at a time. Opens the model when first asked."""

    def __init__(self, load: Callable[[], Loaded], name: str, batch_size: int) -> None:
        self.batch_size = batch_size  # halves for good when memory has run out
        self._load = load
        self._name = name
        self._loaded: Loaded | None = None
        self._schemas = Schemas()

    def answer(self, requests: Sequence[Request]) -> list[Reply | ProviderError]:
        """Replies in the order of the requests, or for a single one why there is none.

        Raises:
            UserError: nothing can be answered at all.
        """
        import torch

        if self._loaded is None:
            self._loaded = self._load()
        try:
            return list(_batch(self._loaded, requests, self._name, self._schemas))
        except UserError:
            raise
        except Exception as error:  # whatever torch met belongs to these calls, not to the worker
            full, said = isinstance(error, torch.OutOfMemoryError), f"{type(error).__name__}: {error}"
        # Out of the handler: as long as the exception lives, its frames hold the tensors that filled the
        # memory.
        if full:
            _release()
        if len(requests) == 1:
            return [ProviderError("bad_request", said)]
        half = len(requests) // 2
        if full:
            self.batch_size = half
            sys.stderr.write(f"rsbench: {self._name}: out of memory; going on with batches of {half}\n")
        return self.answer(requests[:half]) + self.answer(requests[half:])

    def free(self) -> None:
        """Drop the weights."""
        self._loaded = None
        self._schemas = Schemas()
        _release()


def choose_batch(waiting: Sequence[Request], size: int) -> list[int]:
    """Positions of the calls to answer next: the oldest, and those nearest to it in length.

    Like lengths waste little padding; going by the oldest lets nobody wait for ever.
    """
    lengths = [_length(request) for request in waiting]
    return sorted(range(len(waiting)), key=lambda n: abs(lengths[n] - lengths[0]))[:size]


def _length(request: Request) -> int:
    return sum(len(m.text) + IMAGE_CHARS * len(m.images) for m in request.messages)


def _batch(loaded: Loaded, requests: Sequence[Request], name: str, schemas: Schemas) -> list[Reply]:
    import torch

    start = time.perf_counter()
    model, tokenizer = loaded.model, loaded.tokenizer
    # Llama 4's processor makes pixels in bfloat16 whatever the weights are in.
    inputs = {
        name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
        for name, tensor in model_inputs(loaded, requests).items()
    }
    width = inputs["input_ids"].shape[1]
    prompts = inputs["attention_mask"].sum(dim=1).tolist()
    limits = _limits(model, requests, prompts)
    stops, top = stop_ids(model, tokenizer), TopTokens(requests)
    constraint = schemas.constraint(requests, tokenizer, stops)
    # What is noted are the odds before sampling, among the tokens that are allowed at all.
    processors = [*([constraint] if constraint else []), top, _KeyedSampler(requests, model.device)]
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            max_new_tokens=max(limits),
            do_sample=False,  # sampling happens in _KeyedSampler, row by row
            num_beams=1,
            logits_processor=processors,
            stopping_criteria=[_OwnLimit(limits, width)],
        )
    seconds = time.perf_counter() - start
    rows = output[:, width:].tolist()
    known = token_bytes(tokenizer) if any(request.top_tokens for request in requests) else {}
    replies = []
    for n, (row, limit, n_prompt) in enumerate(zip(rows, limits, prompts, strict=True)):
        reply = _reply(row, limit, n_prompt, stops, tokenizer, name, seconds)
        tokens = top.tokens(n, row[: reply.usage.output_tokens or 0], reply.text, tokenizer, known)
        replies.append(replace(reply, tokens=tokens) if tokens else reply)
    return replies


def _limits(model: Any, requests: Sequence[Request], prompts: list[int]) -> list[int]:
    """Longest reply of each row in tokens: what it asked for, within what its prompt leaves of the window."""
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if window and max(prompts) >= window:
        raise ValueError(f"the prompt has {max(prompts)} tokens, and the model's window is {window}")
    rows = zip(requests, prompts, strict=True)
    return [min(r.params.max_tokens, window - n if window else r.params.max_tokens) for r, n in rows]


class _OwnLimit:
    """Stopping criterion: a row is done at its own limit; a short call need not wait for a long one."""

    def __init__(self, limits: list[int], width: int) -> None:
        self._limits = limits
        self._width = width

    def __call__(self, input_ids: "torch.Tensor", scores: object, **_: object) -> "torch.Tensor":
        """`input_ids` (batch, seq) → (batch,) of bool."""
        import torch

        limits = torch.tensor(self._limits, device=input_ids.device)
        return input_ids.shape[1] - self._width >= limits


class _KeyedSampler:
    """Logits processor: temperature, top-p, then Gumbel noise from each row's own generator, for argmax.

    Adding Gumbel noise to log-probabilities and taking the maximum samples from them exactly (Gumbel-max).
    """

    def __init__(self, requests: Sequence[Request], device: "torch.device") -> None:

        self._params = [r.params for r in requests]
        self._rngs = [keyed_rng(r.key, device) for r in requests]

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """`scores` (batch, vocabulary) → the same shape."""
        import torch

        rows = [perturbed(*row) for row in zip(scores, self._params, self._rngs, strict=True)]
        return torch.stack(rows).to(scores.dtype if scores.dtype.is_floating_point else torch.float32)


def keyed_rng(key: str, device: "torch.device") -> "torch.Generator":
    """The source of noise of one reply."""
    import torch

    return torch.Generator(device).manual_seed(int(key[:15], 16))


def perturbed(row: "torch.Tensor", params: GenParams, rng: "torch.Generator") -> "torch.Tensor":
    """Scores `(vocabulary,)` whose argmax is a sample at the temperature and top-p asked for."""
    import torch

    if not params.temperature:
        return row
    logp = _top_p((row.float() / params.temperature).log_softmax(-1), params.top_p)
    uniform = torch.rand(row.shape, generator=rng, device=row.device).clamp_min(1e-20)
    return logp - (-uniform.log()).log()


def _top_p(logp: "torch.Tensor", top_p: float | None) -> "torch.Tensor":
    """Keep the smallest set of tokens whose probability reaches `top_p`; the rest become −inf."""
    if top_p is None or top_p >= 1:
        return logp
    ordered, index = logp.sort(descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    return logp.index_fill(-1, index[before >= top_p], float("-inf"))


def model_inputs(loaded: Loaded, requests: Sequence[Request]) -> Any:
    """The tensors of a batch of prompts, left-padded, as the checkpoint's processor makes them.

    Raises:
        UserError: images for a checkpoint that reads text only.
    """
    from PIL import Image

    texts, images = [], []
    for request in requests:
        turns = []
        own: list[Any] = []
        for message in request.messages:
            parts: list[dict[str, str]] = [{"type": "image"} for _ in message.images]
            text: list[dict[str, str]] = [{"type": "text", "text": message.text}]
            turns.append({"role": message.role, "content": parts + text if loaded.sees else message.text})
            own += [Image.open(io.BytesIO(i.data)).convert("RGB") for i in message.images]
        images.append(own)
        texts.append(
            loaded.processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False, **_effort(loaded, request)
            )
        )
    if any(images) and not loaded.sees:
        raise UserError(
            "This checkpoint reads text only, and the items have images: its answers would be guesses. "
            "Take a vision-language model, or --condition caption: the captions in the images' place."
        )
    return loaded.encode(texts, images)


def _effort(loaded: Loaded, request: Request) -> dict[str, str]:
    """The reasoning effort for the chat template: the only place where a local model can learn of it."""
    effort = request.params.reasoning_effort
    if effort is None:
        return {}
    if "reasoning_effort" not in str(loaded.processor.chat_template):
        raise UserError(
            f"The reasoning effort {effort!r} would change nothing: "
            "this checkpoint's chat template knows none"
        )
    return {"reasoning_effort": effort}


def stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end a reply."""
    ids = model.generation_config.eos_token_id
    found = set(ids if isinstance(ids, list) else [ids]) | {tokenizer.eos_token_id}
    return {i for i in found if i is not None}


def _reply(
    row: list[int],
    limit: int,
    n_prompt: int,
    stops: set[int],
    tokenizer: Any,
    name: str,
    seconds: float,
) -> Reply:
    """`row`: the new tokens, padding behind the end included; the padding may be the stop token itself."""
    end = min(next((n for n, token in enumerate(row) if token in stops), len(row)), limit)
    finished = end < min(len(row), limit)
    text = tokenizer.decode(row[:end], skip_special_tokens=True)
    status: Literal["truncated", "ok", "empty"] = "truncated"
    if finished:
        status = "ok" if text.strip() else "empty"
    return Reply(
        status=status,
        text=text,
        finish_reason="stop" if finished else "length",
        model=name,
        usage=Usage(n_prompt, end),
        latency_s=round(seconds, 4),
    )


def _release() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
