"""Branches from a server of vLLM's shape: what is sent, and that a prompt which is not ours is never used."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from test_hf_branches import trunk_of  # noqa: E402 - after importorskip
from vlms import build  # noqa: E402

from rsbench.limits import Limiter, RetryPolicy  # noqa: E402
from rsbench.models.base import GenParams  # noqa: E402
from rsbench.models.hf_loading import Loaded  # noqa: E402
from rsbench.models.openai import OpenAIModel  # noqa: E402
from rsbench.plan import Sample  # noqa: E402
from rsbench.types import UserError  # noqa: E402
from srpo_train.brancher import Ask, Sampled, Trunk  # noqa: E402
from srpo_train.server_branches import ServerBrancher, prompt_problem  # noqa: E402
from tests.servers import Body, FakeOpenAI, Fault, Rule  # noqa: E402
from tests.unit.judging import make_item  # noqa: E402

PARAMS = GenParams(max_tokens=20, temperature=0.7)


class Server:
    """Tokenises as the checkpoint does and continues; `change` spoils an answer."""

    def __init__(self, loaded: Loaded, change: Callable[[Body], None] = lambda _: None) -> None:
        self.loaded = loaded
        self.change = change

    def __call__(self, body: Body) -> Body:
        turns = []
        for turn in body["messages"]:
            content: Any = turn["content"]
            if not isinstance(content, str):
                content = [{"type": "image"} if p["type"] == "image_url" else p for p in content]
            turns.append({"role": turn["role"], "content": content})
        text = self.loaded.processor.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=body["add_generation_prompt"],
            continue_final_message=body["continue_final_message"],
        )
        tok = self.loaded.tokenizer
        choices = []
        for n in reversed(range(body["n"])):  # in no order
            ids = [*tok(f"Step {n}", add_special_tokens=False)["input_ids"], tok.eos_token_id]
            logprobs = {"content": [{"logprob": -0.5 * (n + 1)} for _ in ids]}
            said = {"role": "assistant", "content": f"Step {n}"}
            choices.append(
                {"index": n, "finish_reason": "stop", "message": said, "token_ids": ids, "logprobs": logprobs}
            )
        prompt = tok(text, add_special_tokens=False)["input_ids"]
        answer = {"model": "m", "choices": choices, "prompt_token_ids": prompt}
        self.change(answer)
        return answer


def branches(
    loaded: Loaded, folder: Path, reply: Callable[[Body], Body | str | Fault], rules: tuple[Rule, ...] = ()
) -> tuple[list[Sampled], Trunk, list[Body]]:
    """Three branches of the bare prompt and two behind the first step, each with a key of its own."""
    local = trunk_of(loaded, folder)  # opens the same item locally, for its image

    async def main(url: str) -> tuple[list[Sampled], Trunk]:
        model = OpenAIModel("openai/m", "m", url, "none")
        brancher = ServerBrancher(model, lambda: loaded, Limiter(4), RetryPolicy(max_attempts=2))
        item = dataclasses.replace(make_item(), images=())
        images = sample_images(loaded, folder)
        try:
            trunk = await brancher.open(Sample(item, 0, "What of it?", "00", images))
            path = trunk.path
            wanted = [(path.ids[: path.cuts[k]], path.text[: path.starts[k]]) for k in (0, 1, 0, 1, 0)]
            asks = [Ask(ids, text, f"{n:04x}".ljust(64, "0")) for n, (ids, text) in enumerate(wanted)]
            return await brancher.sample(trunk, asks, PARAMS), trunk
        finally:
            await brancher.close()

    with FakeOpenAI(reply, rules) as server:
        said, trunk = asyncio.run(main(server.url))
    assert trunk.prompt_ids == local.prompt_ids and trunk.path == local.path
    return said, trunk, [seen.body for seen in server.requests]


def sample_images(loaded: Loaded, folder: Path) -> Any:
    from rsbench.images import check_image
    from rsbench.types import ItemImage

    path = folder / "0.png"
    return (ItemImage(path, "A card.", check_image(path)),) if loaded.sees else ()


@pytest.fixture(scope="module", params=["text", "llava"])
def loaded(request: pytest.FixtureRequest) -> Loaded:
    return build(request.param)


def test_one_call_a_prefix_and_each_branch_where_it_was_asked_for(loaded: Loaded, tmp_path: Path) -> None:
    server = Server(loaded)
    said, trunk, bodies = branches(loaded, tmp_path, server)
    assert [b.status for b in said] == ["ok"] * 5, said
    assert [b.text for b in said] == ["Step 0", "Step 0", "Step 1", "Step 1", "Step 2"]
    assert [b.nats for b in said] == [0.5, 0.5, 1.0, 1.0, 1.5]
    assert all(b.ids[-1] == loaded.tokenizer.eos_token_id and b.n_generated == len(b.ids) for b in said)
    bare, continued = sorted(bodies, key=lambda body: len(body["messages"]))
    assert (bare["n"], bare["add_generation_prompt"], bare["continue_final_message"]) == (3, True, False)
    assert (continued["n"], continued["add_generation_prompt"], continued["continue_final_message"]) == (
        2,
        False,
        True,
    )
    assert continued["messages"][-1] == {
        "role": "assistant",
        "content": trunk.path.text[: trunk.path.starts[1]],
    }
    assert bare["return_token_ids"] and bare["temperature"] == 0.7 and bare["seed"] != continued["seed"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda answer: answer.pop("prompt_token_ids"), "returns no prompt token ids"),
        (lambda answer: answer["prompt_token_ids"].append(3), "differs from ours at token"),
        (lambda answer: answer["prompt_token_ids"].__setitem__(2, 1), "differs from ours at token 2"),
        (
            lambda answer: [choice.pop("token_ids") for choice in answer["choices"]],
            "no token ids of its branches",
        ),
    ],
)
def test_a_prompt_that_is_not_ours_is_never_used(
    change: Callable[[Body], None], words: str, tmp_path: Path
) -> None:
    loaded = build("text")
    said, _, _ = branches(loaded, tmp_path, Server(loaded, change))
    assert {b.status for b in said} == {"unverified"} and all(words in b.error for b in said)
    assert not any(b.ids for b in said)


def test_a_server_that_closes_the_prefix_is_found_out(tmp_path: Path) -> None:
    # As one that does not know `continue_final_message`: the prefix is a finished turn, and a new one begins.
    loaded = build("text")
    server = Server(loaded)

    def ignorant(body: Body) -> Body:
        return server(body | {"add_generation_prompt": True, "continue_final_message": False})

    said, _, _ = branches(loaded, tmp_path, ignorant)
    assert [b.status for b in said] == ["ok", "unverified", "ok", "unverified", "ok"]
    assert said[1].n_generated > 0, "what it cost is known"


def test_statuses_and_a_stop_token_that_was_cut_off(tmp_path: Path) -> None:
    loaded = build("text")

    def change(answer: Body) -> None:
        for choice in answer["choices"]:
            choice["token_ids"].pop()
            choice["finish_reason"] = ("stop", "length", "content_filter")[choice["index"]]

    said, _, _ = branches(loaded, tmp_path, Server(loaded, change))
    assert [b.status for b in said] == ["ok", "ok", "truncated", "truncated", "refused"]
    assert said[0].ids[-1] == loaded.tokenizer.eos_token_id != said[2].ids[-1]


def test_a_call_that_fails_once_is_made_again_and_one_that_fails_for_good_is_an_error(tmp_path: Path) -> None:
    loaded = build("text")
    said, _, bodies = branches(loaded, tmp_path, Server(loaded), (Rule(Fault.reset(), nth=1),))
    assert {b.status for b in said} == {"ok"} and len(bodies) == 4
    said, _, _ = branches(loaded, tmp_path, Server(loaded), (Rule(Fault.status(422)),))
    assert {b.status for b in said} == {"error"} and "422" in said[0].error
    with pytest.raises(UserError, match="401"):
        branches(loaded, tmp_path, Server(loaded), (Rule(Fault.status(401)),))


@pytest.mark.parametrize("raw", [{"choices": []}, {"choices": [{"index": 0}]}, {"choices": "x"}, {}])
def test_an_answer_that_can_not_be_read_is_an_error(raw: Body, tmp_path: Path) -> None:
    said, _, _ = branches(build("text"), tmp_path, lambda _: raw)
    assert {b.status for b in said} == {"error"}


def test_a_placeholder_once_or_for_each_of_its_places_is_the_same_prompt() -> None:
    images = frozenset({9})
    assert prompt_problem([1, 9, 9, 9, 2], [1, 9, 9, 9, 2], images) == ""
    assert prompt_problem([1, 9, 9, 9, 2], [1, 9, 2], images) == ""
    assert "token 3" in prompt_problem([1, 9, 9, 9, 2], [1, 9, 9, 2], images), "another number of places"
    assert "token 1" in prompt_problem([1, 5, 5, 2], [1, 2], images)
    assert "token 2" in prompt_problem([1, 2], [1, 2, 3], images)
