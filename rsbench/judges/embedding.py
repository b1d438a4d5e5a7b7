"""Sentence embeddings by a small language model that an installed package ships, for judges of kind `reward`.

The package's own code is never run: its model folder is found by name, its weights are checked against the
card's sha256 and read as safetensors. So nothing is fetched, and another model can't slip in under the name.
"""

import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsbench.judge_cards import EmbeddingCard
from rsbench.types import UserError

Vectors = NDArray[np.float32]
BATCH, MAX_TOKENS = 64, 256
_WEIGHTS = "model.safetensors"


class Embedder:
    """Text → unit vector (mean of the last layer's tokens); each text is embedded once."""

    def __init__(self, card: EmbeddingCard, where: str) -> None:
        folder = model_folder(card, where)
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise UserError(f"{where}: needs the extra [reward]: pip install 'rsbench[reward]'") from error
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self._model.eval()
        self._known: dict[str, Vectors] = {}

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, `(texts, width)`; those not seen before are embedded together."""
        missing = sorted({text for text in texts if text not in self._known}, key=lambda t: (len(t), t))
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            self._known.update(zip(batch, self._embed(batch), strict=True))
        return np.stack([self._known[text] for text in texts])

    def _embed(self, batch: list[str]) -> Iterable[Vectors]:
        import torch

        given = self._tokenizer(
            batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.no_grad():
            hidden = self._model(**given).last_hidden_state.float()
        mask = given["attention_mask"].unsqueeze(-1).float()
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        unit: Vectors = torch.nn.functional.normalize(mean, dim=1).numpy()
        return unit


def model_folder(card: EmbeddingCard, where: str) -> Path:
    """Where the package keeps the model.

    Raises:
        UserError: the package is not installed, or its weights are not those the card names.
    """
    spec = importlib.util.find_spec(card.module)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{where}: embedding: the package {card.package!r} is not installed: "
            "pip install 'rsbench[reward]'"
        )
    folder = Path(spec.submodule_search_locations[0]) / card.folder
    weights = folder / _WEIGHTS
    if not weights.is_file():
        raise UserError(f"{where}: embedding: the package {card.package!r} has no {card.folder}/{_WEIGHTS}")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != card.sha256:
        raise UserError(
            f"{where}: embedding.sha256: {card.sha256[:12]}… is expected, but {weights} has {found[:12]}…; "
            "install the version that constraints.txt names, or train the judge anew with this one"
        )
    return folder
