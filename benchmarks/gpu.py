"""Tokens a second and peak memory of a 7B vision-language model on a GPU: batches against one by one.

    python benchmarks/gpu.py [--items 32] [--tokens 64] [--sizes 8,32] [--out gpu.json]
    python benchmarks/gpu.py --tiny      # a dry run with a small model, also on a CPU: no measurement

The model has Qwen2.5-VL-7B's shape and random weights, made on the device itself: nothing is downloaded, and
what it says means nothing. Its image processor is transformers' own; its tokenizer knows bytes alone. Goal:
at the largest batch at least 5 times the tokens a second of plain `generate`, one by one.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batching import compare, requests
from measure import report

if TYPE_CHECKING:
    from rsbench.models.hf_loading import Loaded

GOAL = 5.0
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
# The shape of Qwen2.5-VL-7B-Instruct, as its config.json gives it.
TEXT = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
SMALL_TEXT = TEXT | {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
}
SMALL_VISION = VISION | {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 2,
    "out_hidden_size": 128,
    "fullatt_block_indexes": [1],
}


class Processor:
    """Chat template, image placeholders and bytes as tokens, around transformers' image processor.

    The library's own processor for this family can't be made without a tokenizer from the hub and a video
    processor.
    """

    chat_template = "built in"

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self._image_id = tokenizer.convert_tokens_to_ids(IMAGE)

    def apply_chat_template(self, turns: list[dict[str, Any]], **_: object) -> str:
        """One user turn, as this family of models writes it."""
        image = f"<|vision_start|>{IMAGE}<|vision_end|>"
        parts = (image if p["type"] == "image" else p["text"] for turn in turns for p in turn["content"])
        return f"<|im_start|>user\n{''.join(parts)}<|im_end|>\n<|im_start|>assistant\n"

    def __call__(self, text: list[str], images: list[Any], **options: Any) -> Any:
        """Pixels in patches, and as many placeholders as the model makes tokens of each picture."""
        pixels = self.image_processor(images=images, return_tensors="pt")
        counts = iter((pixels["image_grid_thw"].prod(-1) // self.image_processor.merge_size**2).tolist())
        filled = []
        for words in text:
            first, *rest = words.split(IMAGE)
            filled.append(first + "".join(IMAGE * next(counts) + part for part in rest))
        inputs = self.tokenizer(filled, **options)
        kinds = (inputs["input_ids"] == self._image_id).long()
        inputs.update({**pixels, "mm_token_type_ids": kinds})
        return inputs


def make_processor() -> Processor:
    """Without network: a tokenizer that knows bytes alone, the family's image processor with its defaults."""
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    names = [*SPECIAL, IMAGE, VIDEO]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: n for n, word in enumerate([*names, *alphabet])}
    bytes_alone = Tokenizer(models.BPE(vocabulary, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    bytes_alone.add_special_tokens([AddedToken(name, special=True) for name in names])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_alone,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
    )
    try:  # the one that needs no torchvision, where this transformers has it
        image_processor = transformers.Qwen2VLImageProcessorPil()
    except (AttributeError, ImportError):
        image_processor = transformers.Qwen2VLImageProcessor()
    return Processor(image_processor, tokenizer)


def make_model(processor: Processor, small: bool, device: str) -> Any:
    """Random weights of the given shape, made on the device in its own precision."""
    import torch
    from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

    number = processor.tokenizer.convert_tokens_to_ids
    ends = {
        "bos_token_id": number("<|endoftext|>"),
        "eos_token_id": number("<|im_end|>"),
        "pad_token_id": number("<|endoftext|>"),
    }
    config = Qwen2_5_VLConfig(
        text_config=(SMALL_TEXT if small else TEXT) | ends,
        vision_config=SMALL_VISION if small else VISION,
        image_token_id=number(IMAGE),
        video_token_id=number(VIDEO),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation="sdpa")
    for key, value in ends.items():
        setattr(model.generation_config, key, value)
    return model.eval()


def make(small: bool) -> "Loaded":
    """Model and processor, on the first GPU if there is one."""
    import torch

    from rsbench.models.hf_loading import Loaded

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not small:
        sys.exit("No GPU here; --tiny runs a small model through the same code.")
    start = time.perf_counter()
    processor = make_processor()
    model = make_model(processor, small, device)
    count = sum(p.numel() for p in model.parameters())
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    sys.stderr.write(
        f"{count / 1e9:.2f} billion random weights on {where} in {time.perf_counter() - start:.1f} s\n"
    )
    return Loaded(model, processor)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64, help="length of each reply")
    parser.add_argument("--sizes", default="8,32", help="batch sizes, ascending")
    parser.add_argument("--tiny", action="store_true", help="a small model: a dry run, no measurement")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    import torch
    import transformers

    loaded = make(args.tiny)
    sizes = [int(size) for size in args.sizes.split(",")]
    rows = compare(loaded, requests(args.items, args.tokens), sizes)
    where = torch.cuda.get_device_name() if loaded.model.device.type == "cuda" else "CPU"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    shape = "a small model, no measurement" if args.tiny else "Qwen2.5-VL-7B's shape, random weights"
    report(f"gpu: {shape}; {args.items} items, {args.tokens} tokens; {where}, {versions}", rows, args.out)
    ratio = rows[f"rsbench, batches of {sizes[-1]}"]["ratio"]
    met = "met" if isinstance(ratio, float) and ratio >= GOAL else "missed"
    sys.stdout.write(f"\nGoal: {GOAL:g} × plain generate at the largest batch: {ratio} ({met})\n")


if __name__ == "__main__":
    main()
