"""Model cards: what they may say, what is said of one that is wrong, and what they change of a model."""

import json
from pathlib import Path

import pytest

from rsbench.models.base import GenParams
from rsbench.models.cards import card_for, is_model_card, parameters_for, provider_of
from rsbench.models.registry import ModelOptions, build, is_mock
from rsbench.types import UserError

KEY = "sk-test-0123456789abcdef"
LEAST = {"schema": 1, "name": "mine", "backend": "openai", "model": "gpt-x"}


def write(folder: Path, **keys: object) -> str:
    """A model card with these keys over the fewest that one needs; a key given as ... is left out."""
    data = {key: value for key, value in (LEAST | keys).items() if value is not ...}
    path = folder / "mine.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")  # JSON is YAML
    return str(path)


def wrong(folder: Path, **keys: object) -> str:
    with pytest.raises(UserError) as caught:
        card_for(write(folder, **keys))
    assert "mine.yaml" in str(caught.value)
    return str(caught.value)


def test_the_whole_of_a_card(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "schema: 1\nname: mine\nbackend: openai\nmodel: org/open-vl\nbase_url: http://127.0.0.1:8000/v1\n"
        "api: chat\napi_key_env: MY_KEY\nfamily: qwen\nrevision: 2f1a\n"
        "parameters: {max_tokens: 512, temperature: 0, top_p: 0.9, reasoning_effort: low}\n"
        "requests_per_minute: 60\ntokens_per_minute: 100000\n"
        "prices: {input: 3, output: 15.5, cached_input: 0.3, currency: USD}\n"
    )
    carded = card_for(str(tmp_path / "mine.yaml"))
    assert carded is not None
    card, found = carded
    assert (card.model, card.requests_per_minute, card.tokens_per_minute) == ("org/open-vl", 60, 100000)
    assert card.prices is not None
    assert (card.prices.input, card.prices.output, card.prices.cached_input) == (3, 15.5, 0.3)
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"name": ...}, "name: missing, and required"),
        ({"temprature": 1}, "temprature: unknown key"),
        ({"parameters": {"temprature": 1}}, "parameters.temprature: unknown key"),
        ({"parameters": {"top_p": 1.5}}, "found 1.5"),
        ({"parameters": {"max_tokens": None}}, "parameters.max_tokens"),
        ({"api": "completions"}, "'chat' or 'responses'; found 'completions'"),
        ({"prices": {"input": 3}}, "prices.output: missing"),
        ({"prices": {"input": -3, "output": 1}}, "prices.input"),
        ({"prices": {"input": 3, "output": 1, "currency": "EUR"}}, "'USD'; found 'EUR'"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"schema": 2}, "schema 2, but this rsbench reads up to 1"),
        ({"model": ...}, "the backend openai needs the key 'model'"),
        ({"backend": "hf", "base_url": "http://x/v1"}, "the backend hf has no base_url"),
        ({"backend": "anthropic", "api": "chat"}, "the backend anthropic has no api"),
        ({"backend": "tiny", "model": ..., "revision": "1"}, "the backend tiny has no revision"),
    ],
)
def test_a_wrong_card_is_told_with_file_key_and_what_is_allowed(
    tmp_path: Path, keys: dict[str, object], says: str
) -> None:
    assert says in wrong(tmp_path, **keys)


def test_an_unknown_backend_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine.yaml: backend: unknown provider 'opnai'. Known: anthropic, "):
        build(write(tmp_path, backend="opnai"), ModelOptions())


def test_a_folder_is_no_card_and_the_right_words_for_it_are_given() -> None:
    with pytest.raises(UserError, match=r"a checkpoint in a folder is hf/\./checkpoint"):
        card_for("./checkpoint")


def test_a_card_gives_its_name_and_family_but_the_identity_is_that_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies asked for by name and by card are the same replies; a price changes nothing."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    plain = build("openai/gpt-x", ModelOptions())
    cheap = build(write(tmp_path, family="llama", prices={"input": 1, "output": 1}), ModelOptions())
    assert (cheap.name, cheap.family, plain.family) == ("mine", "llama", "gpt")
    assert cheap.identity() == plain.identity()
    pinned = build(write(tmp_path, revision="2026-01"), ModelOptions())
    assert pinned.identity() == plain.identity() | {"revision": "2026-01"}


def test_a_scripted_model_stays_scripted_under_any_name(tmp_path: Path) -> None:
    card = write(tmp_path, backend="mock", model=..., name="gpt-x")
    assert is_mock(build(card, ModelOptions()))
    assert provider_of(card) == "mock"


def test_the_cards_key_goes_to_the_cards_server_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    card = write(tmp_path, base_url="http://127.0.0.1:1/v1", api_key_env="MY_KEY")
    with pytest.raises(UserError, match="MY_KEY is not set"):
        build(card, ModelOptions())
    build(
        card, ModelOptions(base_url="http://127.0.0.1:2/v1")
    )  # another server: the key is not even looked up


def test_parameters_come_from_the_user_then_the_card_then_the_default(tmp_path: Path) -> None:
    card = write(tmp_path, parameters={"max_tokens": 512, "temperature": 0.5})
    given = {"temperature": 0.0, "max_tokens": None, "top_p": None}
    assert parameters_for(card, GenParams(), given) == GenParams(512, 0.0)
    assert parameters_for("openai/gpt-x", GenParams(), given) == GenParams(2048, 0.0)


def test_a_parameter_given_as_null_is_not_sent(tmp_path: Path) -> None:
    """Recent models answer 400 to any temperature, and the rubric judge's card has one."""
    card = write(tmp_path, parameters={"temperature": None})
    assert parameters_for(card, GenParams(4096, temperature=0.0)) == GenParams(4096)


def test_a_judges_card_is_not_taken_for_a_models(tmp_path: Path) -> None:
    judge = tmp_path / "judge.yaml"
    judge.write_text("schema: 1\nkind: overlap\n")
    assert not is_model_card(str(judge))
    assert not is_model_card("openai/gpt-x")
    assert not is_model_card(str(tmp_path / "absent.yaml"))
    assert is_model_card(write(tmp_path))
