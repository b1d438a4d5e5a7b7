"""Local branches: cached, encoded anew, or by the library's own `generate`: the same on every model."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from vlms import build, picture  # noqa: E402 - after importorskip

from rsbench.cards import load_task  # noqa: E402
from rsbench.images import check_image  # noqa: E402
from rsbench.models.base import GenParams  # noqa: E402
from rsbench.models.hf_loading import TINY, Checkpoint, Loaded  # noqa: E402
from rsbench.plan import Sample, make_plan  # noqa: E402
from rsbench.settings import Settings  # noqa: E402
from rsbench.types import ItemImage, UserError  # noqa: E402
from srpo_train.brancher import Ask, Trunk  # noqa: E402
from srpo_train.hf_branches import HFBrancher  # noqa: E402
from srpo_train.trunk_attention import attend, can_share  # noqa: E402
from tests.unit.judging import make_item  # noqa: E402

GREEDY, LENGTH = GenParams(max_tokens=12), 12
SAMPLED = GenParams(max_tokens=12, temperature=1.0)


def explorer(loaded: Loaded, batch_size: int = 64) -> HFBrancher:
    return HFBrancher("model", {"model": "model"}, lambda: loaded, batch_size)


def trunk_of(loaded: Loaded, folder: Path, n: int = 0) -> Trunk:
    images: tuple[ItemImage, ...] = ()
    if loaded.sees:
        path = folder / f"{n}.png"
        picture(n).save(path)
        images = (ItemImage(path, "A card.", check_image(path)),)
    sample = Sample(dataclasses.replace(make_item(), images=images), 0, "What of it?", "00", images)
    return asyncio.run(explorer(loaded).open(sample))


def asks_of(trunk: Trunk, each: int = 2) -> list[Ask]:
    """Some at every step of the reference, and one where a branch has left it."""
    path = trunk.path
    prefixes = [
        (path.ids[:cut], path.text[:start]) for cut, start in zip(path.cuts, path.starts, strict=True)
    ]
    stray = path.ids[: path.cuts[1]] + path.ids[3:8]
    prefixes.append((stray, "stray"))
    return [
        Ask(ids, text, f"{n:06x}{k:06x}".ljust(64, "0"))
        for n, (ids, text) in enumerate(prefixes)
        for k in range(each)
    ]


@pytest.fixture(scope="module", params=["llava", "idefics3", "qwen3_vl", "text", "tiny"])
def loaded(request: pytest.FixtureRequest) -> Loaded:
    return Checkpoint(str(TINY)).load("cpu") if request.param == "tiny" else build(request.param)


def generated(loaded: Loaded, trunk: Trunk, prefix: tuple[int, ...]) -> list[int]:
    """What the library's own loop says, for one prefix alone, nothing cached."""
    ids = torch.tensor([trunk.prompt_ids + prefix])
    inputs: dict[str, Any] = {}
    for name, tensor in trunk.inputs.tensors.items():
        if name != "input_ids" and tensor.shape == (1, len(trunk.prompt_ids)):
            tensor = torch.cat([tensor, tensor.new_zeros(1, len(prefix))], 1)
        inputs[name] = tensor
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    said = loaded.model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)
    return said[0, ids.shape[1] :].tolist()  # type: ignore[no-any-return]


def test_greedy_branches_are_those_of_encoding_everything_anew(loaded: Loaded, tmp_path: Path) -> None:
    trunk, brancher = trunk_of(loaded, tmp_path), explorer(loaded)
    asks = asks_of(trunk)
    cached, anew = (
        brancher.branches(trunk, asks, GREEDY),
        brancher.branches(trunk, asks, GREEDY, cached=False),
    )
    assert [b.ids for b in cached] == [b.ids for b in anew]
    for ask, branch in list(zip(asks, cached, strict=True))[::2]:
        assert list(branch.ids) == generated(loaded, trunk, ask.prefix_ids)
    assert len({b.ids for b in cached}) > 1, "prefixes that all lead to the same words would prove nothing"
    assert can_share(loaded.model), "cached branches share the trunk"


def test_rows_with_a_copy_of_the_trunk_say_the_same(loaded: Loaded, tmp_path: Path) -> None:
    # What models do that can't share it: eager attention, half precision, windows.
    trunk, brancher = trunk_of(loaded, tmp_path), explorer(loaded)
    sharing = brancher.branches(trunk, asks_of(trunk), GREEDY)
    text = loaded.model.config.get_text_config()
    text._attn_implementation = "eager"
    try:
        assert not can_share(loaded.model)
        copying = brancher.branches(trunk, asks_of(trunk), GREEDY)
    finally:
        text._attn_implementation = "sdpa"
    assert [b.ids for b in sharing] == [b.ids for b in copying]


def test_attention_to_a_shared_trunk_is_that_to_a_copy_of_it_in_every_row() -> None:
    rows, heads, few, filled, length, width = 3, 4, 2, 5, 7, 8  # two heads ask of each key
    source = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Any:
        return torch.randn(shape, generator=source)

    query = noise(rows, heads, 1, width)
    own, trunk = ([noise(n, few, m, width) for _ in range(2)] for n, m in ((rows, filled), (1, length)))
    seen = torch.arange(length) < torch.tensor([2, 7, 5])[:, None]  # prefixes of three lengths
    mask = torch.zeros(rows, length).masked_fill(~seen, float("-inf"))[:, None, None]
    found = attend(query, tuple(own), tuple(trunk), mask, 0.3)
    keys, values = (torch.cat([t.expand(rows, -1, -1, -1), o], 2) for t, o in zip(trunk, own, strict=True))
    whole = torch.cat([seen, torch.ones(rows, filled, dtype=torch.bool)], 1)[:, None, None]
    right = torch.nn.functional.scaled_dot_product_attention(
        query, keys, values, attn_mask=whole, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(found, right.transpose(1, 2))


def test_windows_and_half_precision_keep_copies() -> None:
    loaded = build("text")
    text = loaded.model.config.get_text_config()
    text.layer_types = ["full_attention", "sliding_attention"]
    assert not can_share(loaded.model)
    text.layer_types = ["full_attention", "full_attention"]
    assert can_share(loaded.model) and not can_share(loaded.model.bfloat16())


def test_sampled_branches_hang_on_their_key_and_on_nothing_else(loaded: Loaded, tmp_path: Path) -> None:
    trunk = trunk_of(loaded, tmp_path)
    asks = asks_of(trunk)
    together = explorer(loaded).branches(trunk, asks, SAMPLED)
    again = explorer(loaded, batch_size=3).branches(trunk, asks[::-1], SAMPLED)[::-1]
    assert [b.ids for b in together] == [b.ids for b in again]
    assert together[0].ids != together[1].ids, "one prefix, two keys"


@pytest.mark.parametrize("kind", ["llava", "idefics3", "qwen3_vl"])
def test_the_image_is_seen(kind: str, tmp_path: Path) -> None:
    # A path that lost the image without a word would give both pictures the same branches.
    loaded = build(kind)
    said = []
    for n in (0, 3):
        trunk = trunk_of(loaded, tmp_path, n)
        said.append([b.ids for b in explorer(loaded).branches(trunk, asks_of(trunk), SAMPLED)])
    assert said[0] != said[1]


def test_a_branch_is_cut_at_its_limit_and_its_entropy_is_measured(tmp_path: Path) -> None:
    loaded = build("text")
    trunk = trunk_of(loaded, tmp_path)
    (branch,) = explorer(loaded).branches(trunk, asks_of(trunk)[:1], GenParams(max_tokens=3, temperature=1.0))
    if branch.status == "truncated":
        assert len(branch.ids) == branch.n_generated == 3
    assert branch.nats is not None and 0 < branch.nats < 6


def test_memory_that_runs_out_halves_the_batch(tmp_path: Path) -> None:
    loaded = build("text")
    trunk = trunk_of(loaded, tmp_path)
    brancher, asks = explorer(loaded), asks_of(trunk)
    whole = brancher.branches(trunk, asks, SAMPLED)

    def full(module: object, args: object, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].shape[0] > 3:
            raise torch.OutOfMemoryError("no memory left")

    hook = loaded.model.register_forward_pre_hook(full, with_kwargs=True)
    try:
        halved = brancher.branches(trunk, asks, SAMPLED)
    finally:
        hook.remove()
    assert [b.ids for b in halved] == [b.ids for b in whole] and brancher.batch_size <= 3


def test_a_branch_of_the_embedded_model_reads_on_from_its_prefix() -> None:
    card, found = load_task("rsbench-closed")
    (sample, *_) = make_plan(card, found, Settings(limit=2), {})
    loaded = Checkpoint(str(TINY)).load("cpu")
    trunk = asyncio.run(explorer(loaded).open(sample))
    (branch,) = explorer(loaded).branches(trunk, [asks_of(trunk, 1)[1]], GenParams(max_tokens=200))
    assert branch.status == "ok" and branch.text.startswith("Step 2:") and "Answer:" in branch.text
    assert branch.ids[-1] == loaded.tokenizer.eos_token_id
    assert loaded.tokenizer.decode(branch.ids[:-1]) == branch.text


def test_an_item_without_a_reference_path_is_refused(tmp_path: Path) -> None:
    sample = Sample(dataclasses.replace(make_item(), reference=None), 0, "What?", "00", ())
    with pytest.raises(UserError, match="no reference path"):
        asyncio.run(explorer(build("text")).open(sample))
