"""The network, the processor and the optimiser of `tiny`: stock LLaVA classes, random weights, own tokenizer.

Stock classes, so that the saved folder loads with `AutoModelForImageTextToText` and `AutoProcessor` alone.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tiny.draw import GRID, PATCH
from tiny.paint import SIZE

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<user>", "<assistant>")
PAD, BOS, EOS, UNK, IMAGE = range(5)
VOCABULARY = 1200
# Images first, then the text, whatever their order in the message: training shows no other order.
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<assistant>' if m['role'] == 'assistant' else '<user>' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] if c['type'] == 'image' %}<image>{% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}{% endif %}"
    "{% if m['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def make_processor(corpus: Iterable[str], folder: Path) -> Any:
    """Train the byte-level BPE on `corpus` and save the processor to `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        extra_special_tokens={"image_token": "<image>"},
    )
    side = {"height": SIZE, "width": SIZE}
    images = CLIPImageProcessorPil(
        size=side, crop_size=side, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    processor = LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    return processor


def make_model(vocabulary: int) -> Any:
    """A LLaVA of about 6.5 M random parameters."""
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

    vision = SiglipVisionConfig(
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=3,
        image_size=SIZE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_seq_length=GRID * GRID,
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config)


def to_pixels(images: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """(batch, 192, 192, 3) bytes → (batch, 3, 192, 192) in -1..1, as the saved processor does it."""
    stack = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
    return stack.float() / 127.5 - 1


def orthogonalise(matrix: torch.Tensor, steps: int = 4) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrix, roughly: Newton-Schulz of the Muon write-up (K. Jordan, 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: torch.Tensor
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum in float32.

    `torch.optim.Muon` iterates in bfloat16: most of each step on a processor without units for it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        """Momentum 0.95, decoupled weight decay 0.02."""
        super().__init__(parameters, {"lr": lr, "momentum": 0.95, "weight_decay": 0.02})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update; matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for alike in shapes.values():
                updates = []
                for p in alike:
                    gradient = p.grad
                    assert gradient is not None  # sorted out above
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(gradient, 1 - group["momentum"])
                    updates.append(torch.lerp(gradient, buffer, group["momentum"]))
                rate = group["lr"]
                stretch = max(1.0, alike[0].shape[0] / alike[0].shape[1]) ** 0.5
                for p, update in zip(alike, orthogonalise(torch.stack(updates)), strict=True):
                    p.mul_(1 - rate * group["weight_decay"]).add_(update, alpha=-rate * stretch)


class Optimiser:
    """Muon for the hidden matrices, AdamW for the rest, one trapezoid schedule over a fixed number of steps.

    Deviates from the Muon write-up: 4 Newton-Schulz steps, and a learning rate of 4 × AdamW's.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], rate: float, steps: int) -> None:
        """`rate` is the peak of AdamW's learning rate; it falls linearly over the second half of `steps`."""
        trained = [(name, p) for name, p in parameters if p.requires_grad]
        hidden = [p for name, p in trained if p.ndim == 2 and "embed" not in name and "head" not in name]
        chosen = {id(p) for p in hidden}
        rest = [p for _, p in trained if id(p) not in chosen]
        muon = Muon(hidden, lr=4 * rate)
        adam = torch.optim.AdamW(rest, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [(muon, 4 * rate), (adam, rate)]
        self.parameters = [p for _, p in trained]
        self.steps = steps

    def step(self, loss: torch.Tensor, number: int) -> None:
        """One update; `number` counts from 0."""
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        share = number / self.steps
        scale = min(1.0, (number + 1) / 60) * min(1.0, max(0.02, (1 - share) / 0.5))
        for optimiser, peak in self.parts:
            for group in optimiser.param_groups:
                group["lr"] = peak * scale
            optimiser.step()
            optimiser.zero_grad()
