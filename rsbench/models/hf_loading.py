"""Opening checkpoints: which weights, on which device, in which precision, and what to say when that fails.

Safetensors only, `trust_remote_code` off: a checkpoint that brings its own code is answered with the command
that serves it elsewhere. What is generated with an open checkpoint is the business of `hf_batching`.
"""

import hashlib
import importlib.util
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsbench.types import UserError

TINY = Path(__file__).parent / "tiny"
DTYPES = ("float32", "bfloat16", "float16")
# transformers opens checkpoints through process-wide state: two at once gave meta tensors and random heads.
_OPENING = threading.Lock()
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASHED = (".json", ".safetensors", ".model", ".jinja", ".txt")


@dataclass(frozen=True)
class Loaded:
    """An open checkpoint. `processor` is the bare tokenizer if the checkpoint reads text only."""

    model: Any
    processor: Any

    @property
    def sees(self) -> bool:
        """Whether it takes images."""
        return hasattr(self.processor, "image_processor")

    @property
    def own_prompt(self) -> bool:
        """Whether the processor writes the whole prompt itself and takes no text (ShieldGemma 2)."""
        return type(self.processor).__name__ == "ShieldGemma2Processor"

    def encode(self, texts: list[str], images: list[list[Any]]) -> Any:
        """Tensors of texts in the model's own chat format, each with its images."""
        options: dict[str, Any] = {"return_tensors": "pt", "padding": True, "add_special_tokens": False}
        if self.own_prompt:
            from transformers import ProcessorMixin

            # The same tensors as its own call makes, of our text; one image a text.
            inputs = ProcessorMixin.__call__(self.processor, text=texts, images=images, **options)
            if "mm_token_type_ids" in inputs:
                inputs["token_type_ids"] = inputs.pop("mm_token_type_ids")
            return inputs
        # One flat list in reading order: every image placeholder of every text takes the next one.
        flat = [image for own in images for image in own]
        return self.processor(text=texts, **({"images": flat} if flat else {}), **options)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, wherever it sits."""
        return getattr(self.processor, "tokenizer", self.processor)


@dataclass(frozen=True)
class Checkpoint:
    """What to open: a folder or a hub id, and if wanted a PEFT folder on top of it."""

    source: str
    revision: str | None = None
    adapter: Path | None = None
    dtype: str | None = None
    device_map: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in (None, *DTYPES):
            raise UserError(f"--dtype {self.dtype!r}: allowed are {', '.join(DTYPES)}")
        if self.revision and Path(self.source).is_dir():
            raise UserError(f"--revision {self.revision}: {self.source} is a folder and has no revisions")
        if self.adapter and not (self.adapter / "adapter_config.json").is_file():
            raise UserError(
                f"--adapter {self.adapter}: no PEFT adapter there (adapter_config.json is missing)"
            )

    def resolved(self, places: Sequence[str | None] = (None,)) -> "Checkpoint":
        """The same with nothing left open: the precision on these devices and, of a hub model, the commit.

        Otherwise a run that is resumed on another machine, or after its branch moved, would go on with other
        weights under the keys of the first ones.

        Raises:
            UserError: no such device; a hub that can't be asked which commit it is, and was not before.
        """
        return replace(self, dtype=self.dtype or usual_dtype(places), revision=self._commit())

    def _commit(self) -> str | None:
        """What `revision` stands for now; it stays as it is without the extra that loading will ask for."""
        if Path(self.source).is_dir() or (self.revision and _COMMIT.fullmatch(self.revision)):
            return self.revision
        try:
            from huggingface_hub import hf_hub_download
        except ImportError:
            return self.revision
        try:
            config = hf_hub_download(self.source, "config.json", revision=self.revision)
        except (OSError, ValueError) as error:
            raise UserError(_why(self.source, error)) from error
        return Path(config).parent.name  # …/snapshots/COMMIT/config.json

    def identity(self, name: str) -> dict[str, str]:
        """A local folder is named by what it holds, not by where it lies; so is an adapter."""
        own = {"provider": "hf", "model": self.source, "revision": self.revision or "main"}
        if Path(self.source).is_dir():
            own |= {"model": name, "revision": folder_hash(Path(self.source))}
        if self.adapter:
            own["adapter"] = folder_hash(self.adapter)
        if self.dtype:
            own["dtype"] = self.dtype
        return own

    def load(self, device: str | None) -> Loaded:
        """Open it on one device (None: the first GPU, else the CPU), or spread by `device_map`.

        Raises:
            UserError: nothing usable there, with transformers' own words.
        """
        try:
            import torch  # noqa: F401 - to say at once, and in our words, that the extra is missing
            from transformers.utils import logging
        except ImportError as error:
            raise UserError(
                f"Local models need the extra [hf]: pip install 'rsbench[hf]' ({error})"
            ) from error
        logging.disable_progress_bar()
        with _OPENING:
            return self._open(device)

    def _open(self, device: str | None) -> Loaded:
        import torch
        from transformers import AutoProcessor

        place = _device(device)
        dtype = self.dtype or usual_dtype([device])
        options: dict[str, Any] = {"revision": self.revision or "main", "trust_remote_code": False}
        try:
            loaded = Loaded(None, AutoProcessor.from_pretrained(self.source, **options))
            options |= {"use_safetensors": True, "dtype": getattr(torch, dtype or "float32")}
            kind = _class_for(loaded)
            if self.device_map:
                model = kind.from_pretrained(self.source, device_map=self.device_map, **options)
            else:
                model = kind.from_pretrained(self.source, **options).to(place)
        except torch.OutOfMemoryError as error:
            raise UserError(f"The model {self.source!r} does not fit on {place}: {error}") from error
        except (OSError, ValueError, ImportError) as error:
            raise UserError(_why(self.source, error)) from error
        if not getattr(loaded.processor, "chat_template", None):
            raise UserError(
                f"The model {self.source!r} has no chat template; take its instruction-tuned version"
            )
        if loaded.own_prompt:
            model = model.model  # the language model within: the classifier around it does not generate
        loaded.tokenizer.padding_side = "left"
        if loaded.tokenizer.pad_token is None:
            loaded.tokenizer.pad_token = loaded.tokenizer.eos_token
        return Loaded((_adapted(model, self.adapter) if self.adapter else model).eval(), loaded.processor)


def find_checkpoint(
    source: str,
    revision: str | None = None,
    adapter: str | None = None,
    dtype: str | None = None,
    device_map: str | None = None,
) -> Checkpoint:
    """Say what to open; a bare PEFT folder stands for its base, of its own revision, with itself on top.

    Raises:
        UserError: options that don't go together, or an adapter that is none.
    """
    folder, given = Path(source), Path(adapter).expanduser() if adapter else None
    card = folder / "adapter_config.json"
    if not card.is_file() or (folder / "config.json").exists():
        return Checkpoint(source, revision, given, dtype, device_map)
    if given:
        raise UserError(f"--adapter {given}: {source} is an adapter itself; name the base model instead")
    try:
        said = json.loads(card.read_text(encoding="utf-8"))
        base, own = said["base_model_name_or_path"], said.get("revision")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{card}: base_model_name_or_path can't be read ({error!r})") from error
    made_on = None if Path(str(base)).is_dir() else own
    return Checkpoint(str(base), revision or made_on, folder, dtype, device_map)


def find_devices(device: str | None, devices: str | None, device_map: str | None) -> tuple[str, ...]:
    """Devices out of `--device X` or `--devices 0,1`; a bare number is a GPU. None given: an empty tuple.

    Raises:
        UserError: more than one way of placing a model.
    """
    if sum(bool(given) for given in (device, devices, device_map)) > 1:
        raise UserError("--device, --devices and --device-map exclude each other")
    names = [name.strip() for name in (device or devices or "").split(",") if name.strip()]
    return tuple(f"cuda:{name}" if name.isdigit() else name for name in names)


def folder_hash(folder: Path) -> str:
    """sha256 over the names and bytes of a checkpoint's config, tokenizer and weights."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in _HASHED and p.name != "training.json"):
        with path.open("rb") as file:
            total.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _class_for(loaded: Loaded) -> Any:
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        ShieldGemma2ForImageClassification,
    )

    if loaded.own_prompt:
        return ShieldGemma2ForImageClassification
    return AutoModelForImageTextToText if loaded.sees else AutoModelForCausalLM


def usual_dtype(places: Sequence[str | None]) -> str | None:
    """bfloat16 if all devices are GPUs, else float32: one precision for all copies. None without torch.

    Raises:
        UserError: torch knows no such device.
    """
    if importlib.util.find_spec("torch") is None:
        return None  # nothing can run here, as loading says
    return "bfloat16" if all(_device(place).startswith("cuda") for place in places) else "float32"


def _device(name: str | None) -> str:
    import torch

    gpus = torch.cuda.device_count()
    if name is None:
        return "cuda" if gpus else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device {name!r} is no device of torch's; e.g. cpu, cuda:0, 0") from error
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise UserError(f"--device {name}: torch sees {gpus} CUDA devices here")
    return name


def _adapted(model: Any, adapter: Path) -> Any:
    if not (adapter / "adapter_model.safetensors").is_file():
        raise UserError(f"{adapter}: adapter_model.safetensors is missing; other formats are not loaded")
    try:
        from peft import PeftModel
    except ImportError as error:
        raise UserError(f"An adapter needs peft: pip install peft ({error})") from error
    try:
        return PeftModel.from_pretrained(model, str(adapter))
    except (ValueError, RuntimeError, TypeError) as error:  # made for another model, or a newer peft
        raise UserError(f"The adapter {adapter} does not fit this model: {error}") from error


def _brings_code(folder: Path) -> bool:
    """Whether a local checkpoint names classes of its own; the library then fails in other words."""
    try:
        return "auto_map" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _why(source: str, error: Exception) -> str:
    text = str(error)
    if "trust_remote_code" in text or _brings_code(Path(source)):
        return (
            f"The model {source!r} brings its own code, and rsbench runs no code out of a checkpoint. "
            "Serve it in an environment of its own and call the server:\n"
            f"  vllm serve {source} --trust-remote-code --port 8000\n"
            f"  rsbench run --model openai/{source} --base-url http://127.0.0.1:8000/v1 …\n"
            "See docs/serve-with-vllm.md."
        )
    if isinstance(error, ImportError) and "torchvision" in text.lower():
        return (
            f"The processor of {source!r} needs torchvision, of the same build as your torch: "
            "pip install torchvision"
        )
    where = "" if Path(source).is_dir() else " (no folder here, so the Hugging Face hub was asked)"
    return f"Can't load the model {source!r}{where}: {error}"
