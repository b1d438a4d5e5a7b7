"""Questions made by hand for the tests of layouts and trainer: real prompts, invented branches."""

import random
from typing import Any

import torch

from rsbench.models.hf_loading import Loaded
from srpo_train.questions import ChosenPair, Continuation, Question

PATH = "Step 1: The card is plain.\nStep 2: A good thing.\nAnswer: What of it?"


def encode(loaded: Loaded, words: str, picture: Any) -> dict[str, torch.Tensor]:
    content: Any = [{"type": "image"}, {"type": "text", "text": words}] if loaded.sees else words
    turns = [{"role": "user", "content": content}]
    text = loaded.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    images = {"images": [picture]} if loaded.sees else {}
    return dict(loaded.processor(text=[text], return_tensors="pt", add_special_tokens=False, **images))


def question(loaded: Loaded, n: int, picture: Any, n_branches: int = 4) -> Question:
    """Branches from the start, from within the reference path, and from a prefix that leaves it."""
    rng, tok = random.Random(n), loaded.tokenizer
    stop = (tok.eos_token_id,)
    inputs = encode(loaded, f"What of [p{n}] here? Think" + " well" * n, picture)
    path = (*tok(PATH, add_special_tokens=False)["input_ids"], *stop)
    letters = [i for i in range(len(tok)) if i not in tok.all_special_ids]
    stray = (*path[:4], *rng.sample(letters, 3))
    prefixes = [(), path[:5], stray, path[: len(path) - 3]]
    branches, pairs = [], []
    for p, prefix in enumerate(prefixes[: max(1, n_branches // 2)]):
        for favourable in (True, False):
            ids = (*rng.sample(letters, rng.randint(1, 9)), *stop)
            branches.append(Continuation(tuple(prefix), ids, favourable))
        pairs.append(ChosenPair(2 * p, 2 * p + 1, 1.0 + p))
    own = {"input_ids", "attention_mask"}
    types = {k: tuple(v[0].tolist()) for k, v in inputs.items() if k.endswith("token_type_ids")}
    media = {k: v for k, v in inputs.items() if k not in own and k not in types}
    prompt = tuple(inputs["input_ids"][0].tolist())
    return Question(f"q{n}", prompt, path, tuple(branches), tuple(pairs), media, types)
