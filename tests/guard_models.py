"""Small guard checkpoints: the architectures of real guards, with weights that say a given word.

Random weights, but for what decides the reply: nothing is added to a token's embedding on its way up, and
the head maps each token to the one that is to follow it. So a real backend loads and runs a real
architecture, and what it says is known.
"""

import math
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

END = "</s>"
LOGIT = 20.0  # of the word that is to follow; all others are near 0
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
WIDTH = {"hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6}
TEXT = (
    LAYERS | WIDTH | {"tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
)
# What ends every prompt; the guard's word follows it.
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}<go>"
)


def tokenizer(words: tuple[str, ...], image: str = "", **named: str) -> PreTrainedTokenizerFast:
    """One token a byte, the words as tokens of their own, and the control tokens that a processor names."""
    special = ["<s>", END, "<pad>", "<go>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: n for n, word in enumerate([*special, *letters])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token=END,
        pad_token="<pad>",
        extra_special_tokens=named,
    )
    made.add_tokens(["<go>", *words])
    made.chat_template = TEMPLATE.replace("IMAGE", image)
    return made


def make_it_say(model: Any, tokens: PreTrainedTokenizerFast, likely: dict[str, float]) -> None:
    """Set weights: after the prompt each word with its probability, after each word the end.

    `likely` is normalised; its words are single tokens.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "vision" not in name and name.rsplit(".weight", 1)[0].endswith(("o_proj", "down_proj")):
                weight.zero_()
        embedding = model.get_input_embeddings().weight
        embedding.normal_()
        embedding /= embedding.norm(dim=-1, keepdim=True)
        head = model.get_output_embeddings().weight
        head.zero_()
        width = embedding.shape[-1]
        go = embedding[tokens.convert_tokens_to_ids("<go>")] / math.sqrt(width)
        for word, p in likely.items():
            token = tokens.convert_tokens_to_ids(word)
            head[token] += (LOGIT + math.log(p)) * go
            head[tokens.eos_token_id] += LOGIT * embedding[token] / math.sqrt(width)


def save(folder: Path, model: Any, processor: Any, likely: dict[str, float], tokens: Any) -> Path:
    """Write a checkpoint that a real backend opens."""
    make_it_say(model, tokens, likely)
    model.generation_config.eos_token_id = tokens.eos_token_id
    model.generation_config.pad_token_id = tokens.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def llama(folder: Path, likely: dict[str, float]) -> Path:
    """Llama Guard 3, text only."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = tokenizer(tuple(likely))
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokens), **TEXT))
    return save(folder, model, tokens, likely, tokens)


def mllama(folder: Path, likely: dict[str, float]) -> Path:
    """Llama Guard 3 Vision."""
    from transformers import MllamaConfig, MllamaForConditionalGeneration, MllamaProcessor
    from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig
    from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

    tokens = tokenizer(tuple(likely), "<|image|>", image_token="<|image|>")
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    text = MllamaTextConfig(vocab_size=len(tokens), cross_attention_layers=[1], rope_parameters=rope, **TEXT)
    vision = MllamaVisionConfig(
        hidden_size=16, num_hidden_layers=2, num_global_layers=1, attention_heads=2, intermediate_size=16,
        vision_output_dim=32, image_size=28, patch_size=14, max_num_tiles=1, intermediate_layers_indices=[0],
        supported_aspect_ratios=[[1, 1]],
    )  # fmt: skip
    image = tokens.convert_tokens_to_ids("<|image|>")
    model = MllamaForConditionalGeneration(
        MllamaConfig(vision_config=vision, text_config=text, image_token_index=image)
    )
    images = MllamaImageProcessorPil(size={"height": 28, "width": 28}, max_image_tiles=1)
    processor = MllamaProcessor(images, tokens, chat_template=tokens.chat_template)
    return save(folder, model, processor, likely, tokens)


def shieldgemma2(folder: Path, likely: dict[str, float]) -> Path:
    """ShieldGemma 2: Gemma 3 inside an image classifier."""
    from transformers import (
        Gemma3TextConfig,
        ShieldGemma2Config,
        ShieldGemma2ForImageClassification,
        ShieldGemma2Processor,
        SiglipVisionConfig,
    )
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    named = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    tokens = tokenizer(tuple(likely), "<start_of_image>", **named)
    text = Gemma3TextConfig(vocab_size=len(tokens), **TEXT)
    vision = SiglipVisionConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=28, patch_size=14,
    )  # fmt: skip
    ids = {name: tokens.convert_tokens_to_ids(word) for name, word in named.items()}
    config = ShieldGemma2Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
        tie_word_embeddings=False,
    )
    model = ShieldGemma2ForImageClassification(config)
    images = Gemma3ImageProcessorPil(size={"height": 28, "width": 28})
    processor = ShieldGemma2Processor(images, tokens, chat_template=tokens.chat_template, image_seq_length=4)
    inner = model.model
    make_it_say(inner, tokens, likely)
    inner.generation_config.eos_token_id = tokens.eos_token_id
    inner.generation_config.pad_token_id = tokens.pad_token_id
    model.save_pretrained(folder)
    inner.generation_config.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def llama4(folder: Path, likely: dict[str, float]) -> Path:
    """Llama Guard 4."""
    from transformers import (
        Llama4Config,
        Llama4ForConditionalGeneration,
        Llama4ImageProcessor,
        Llama4Processor,
        Llama4TextConfig,
        Llama4VisionConfig,
    )

    words = ("<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>")
    words += ("<|tile_x_separator|>", "<|tile_y_separator|>")
    tokens = tokenizer((*likely, *words), "<|image|>")
    text = Llama4TextConfig(
        vocab_size=len(tokens),
        intermediate_size_mlp=48,
        num_local_experts=2,
        attention_chunk_size=4096,
        **TEXT,
    )
    vision = Llama4VisionConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=28,
        patch_size=7, vision_output_dim=16, projector_input_dim=16, projector_output_dim=16,
    )  # fmt: skip
    ids = {
        "boi_token_index": tokens.convert_tokens_to_ids("<|image_start|>"),
        "eoi_token_index": tokens.convert_tokens_to_ids("<|image_end|>"),
        "image_token_index": tokens.convert_tokens_to_ids("<|patch|>"),
    }
    config = Llama4Config(vision_config=vision, text_config=text, tie_word_embeddings=False, **ids)
    model = Llama4ForConditionalGeneration(config)
    images = Llama4ImageProcessor(size={"height": 28, "width": 28}, max_patches=1)
    processor = Llama4Processor(images, tokens, patch_size=7, chat_template=tokens.chat_template)
    return save(folder, model, processor, likely, tokens)


def qwen2_5_vl(folder: Path, likely: dict[str, float]) -> Path:
    """GuardReasoner-VL."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLVideoProcessor,
    )
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    words = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
    tokens = tokenizer((*likely, *words), "<|vision_start|><|image_pad|><|vision_end|>")
    ids = [tokens.convert_tokens_to_ids(word) for word in words]
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokens),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
            **TEXT,
        },
        vision_config={
            "depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 32,
            "patch_size": 14, "spatial_merge_size": 2, "window_size": 56, "fullatt_block_indexes": [0],
        },
        vision_start_token_id=ids[0],
        image_token_id=ids[1],
        vision_end_token_id=ids[2],
        video_token_id=ids[3],
        tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen2_5_VLForConditionalGeneration(config)
    images = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=56 * 56)
    template = tokens.chat_template
    processor = Qwen2_5_VLProcessor(images, tokens, Qwen2VLVideoProcessor(), chat_template=template)
    return save(folder, model, processor, likely, tokens)


def llava_onevision(folder: Path, likely: dict[str, float]) -> Path:
    """LlavaGuard 1.2."""
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    tokens = tokenizer((*likely, "<image>", "<video>"), "<image>")
    vision = SiglipVisionConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        image_size=28, patch_size=14, vision_use_head=False,
    )  # fmt: skip
    pinpoints = [[28, 28]]
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(vocab_size=len(tokens), **TEXT),
        vision_config=vision,
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        video_token_index=tokens.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        tie_word_embeddings=False,
    )
    model = LlavaOnevisionForConditionalGeneration(config)
    size = {"height": 28, "width": 28}
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessorPil(size=size, image_grid_pinpoints=pinpoints),
        tokens,
        LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=tokens.chat_template,
    )
    return save(folder, model, processor, likely, tokens)
