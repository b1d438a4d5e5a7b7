"""Very small models of several architectures with random weights, built from their configurations.

Each comes with a tokenizer trained on the spot, an image processor that needs Pillow alone, and a chat
template, so that they open from a folder like any checkpoint.
"""

from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoProcessor, PreTrainedTokenizerFast

from rsbench.models.hf_loading import Loaded

SIDE, PATCH = 32, 8
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
}
WORDS = [
    "Step 1: The card is plain.",
    "Answer: A good answer.",
    "What of [p0.risky] here? Think in numbered steps.",
]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer(*images: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE; the stop token is not the padding token, so that a mix-up shows."""
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", *images]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    own.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>", *images],
    )


def ids_of(tok: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {"pad_token_id": tok.pad_token_id, "eos_token_id": tok.eos_token_id, "bos_token_id": None}


def llava() -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tok = tokenizer("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION, projection_dim=32),
        text_config=LlamaConfig(vocab_size=len(tok), **TEXT, **ids_of(tok)),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )
    pictures = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    template = TEMPLATE.replace("IMAGE", "<image>")
    processor = LlavaProcessor(
        pictures,
        tok,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return LlavaForConditionalGeneration(config), processor


def idefics3() -> tuple[Any, Any]:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor, LlamaConfig
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    marks = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]
    tok = tokenizer(*marks)
    config = Idefics3Config(
        vision_config=VISION,
        text_config=LlamaConfig(vocab_size=len(tok), **TEXT, **ids_of(tok)),
        scale_factor=2,
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        pad_token_id=tok.pad_token_id,
        tie_word_embeddings=False,
    )
    edge = {"longest_edge": SIDE}
    pictures = Idefics3ImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
    template = TEMPLATE.replace("IMAGE", "<image>")
    processor = Idefics3Processor(
        pictures, tok, image_seq_len=(SIDE // PATCH // 2) ** 2, chat_template=template
    )
    return Idefics3ForConditionalGeneration(config), processor


def qwen3_vl() -> tuple[Any, Any]:
    """With a processor that has no part for videos, which would need torchvision."""
    import transformers
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.processing_utils import ProcessorMixin

    names = {
        "image": "<|image_pad|>",
        "video": "<|video_pad|>",
        "vision_start": "<|vision_start|>",
        "vision_end": "<|vision_end|>",
    }
    tok = tokenizer(*names.values())
    tokens = {f"{name}_token_id": tok.convert_tokens_to_ids(mark) for name, mark in names.items()}

    class ImagesOnly(transformers.Qwen3VLProcessor):  # type: ignore[misc]
        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
        ) -> None:
            for name, mark in names.items():
                setattr(self, f"{name}_token", mark)
                setattr(self, f"{name}_token_id", tokenizer.convert_tokens_to_ids(mark))
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

        @classmethod
        def get_attributes(cls) -> list[str]:
            return ["image_processor", "tokenizer"]

    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    rope = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "rope_theta": 10000.0,
        "mrope_interleaved": True,
    }
    text = {**TEXT, **ids_of(tok), "vocab_size": len(tok), "head_dim": 8, "rope_parameters": rope}
    config = transformers.Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=False, **tokens
    )
    pictures = Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": 16 * 16, "longest_edge": SIDE * SIDE},
    )
    template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    return transformers.Qwen3VLForConditionalGeneration(config), ImagesOnly(
        pictures, tok, chat_template=template
    )


def text_only() -> tuple[Any, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    tok = tokenizer()
    tok.chat_template = TEMPLATE
    config = LlamaConfig(vocab_size=len(tok), **TEXT, **ids_of(tok), tie_word_embeddings=False)
    return LlamaForCausalLM(config), tok


BUILDERS = {"llava": llava, "idefics3": idefics3, "qwen3_vl": qwen3_vl, "text": text_only}


def build(kind: str, seed: int = 0) -> Loaded:
    """A model with random weights, large enough that its predictions differ from one another."""
    torch.manual_seed(seed)
    model, processor = BUILDERS[kind]()
    tok = getattr(processor, "tokenizer", processor)
    tok.padding_side = "left"
    model.generation_config.pad_token_id = tok.pad_token_id
    model.generation_config.eos_token_id = tok.eos_token_id
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    return Loaded(model.eval(), processor)


def make_terse(loaded: Loaded) -> None:
    """Let replies end after some tokens, and hold no image token, as a trained model's do.

    Every embedding gets one constant component, to which the output layer's rows of the two tokens answer.
    """
    config, tok = loaded.model.config, loaded.tokenizer
    inputs, outputs = loaded.model.get_input_embeddings().weight, loaded.model.get_output_embeddings().weight
    with torch.no_grad():
        inputs[:, 0], outputs[:, 0] = 0.5, 0.0
        outputs[tok.eos_token_id, 0] = 0.9
        image = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
        if image is not None:
            outputs[image, 0] = -3.0


def save(kind: str, folder: Path, seed: int = 0) -> Path:
    """The same as a checkpoint on disk, of few words."""
    loaded = build(kind, seed)
    make_terse(loaded)
    loaded.model.save_pretrained(folder)
    loaded.processor.save_pretrained(folder)
    if kind != "qwen3_vl":
        AutoProcessor.from_pretrained(folder)  # opens as users' checkpoints do
    return folder


def picture(n: int) -> Image.Image:
    image = Image.new("RGB", (40, 36), (n * 70 % 256, 90, 200 - n * 40 % 200))
    ImageDraw.Draw(image).rectangle((4 + 3 * n, 6, 20 + 3 * n, 24), fill=(250, 30 * n % 256, 20))
    return image
