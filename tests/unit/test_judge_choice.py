"""Who may judge whom: the choice of a judge, and its independence of the model under test."""

from pathlib import Path

import pytest

from rsbench.judges import registry
from rsbench.judges.registry import JudgeChoice, check_independence, choose
from rsbench.models.base import Model
from rsbench.models.mock import MockModel
from rsbench.types import UserError
from tests.unit.judging import Scripted


@pytest.mark.parametrize(
    ("judge", "judge_model", "model", "suggested", "choice"),
    [
        (None, None, "tiny", None, JudgeChoice("overlap", None)),
        (None, None, "mock/replies.jsonl", "mock", JudgeChoice("mock", None)),
        ("openai/gpt-x", None, "tiny", "overlap", JudgeChoice("llm", "openai/gpt-x")),
        ("overlap", None, "openai/m", None, JudgeChoice("overlap", None)),
        ("mine", "hf/./m", "openai/m", None, JudgeChoice("mine", "hf/./m")),
        ("./judges/mine", "openai/j", "openai/m", None, JudgeChoice("./judges/mine", "openai/j")),
        ("judges/mine.yaml", None, "openai/m", None, JudgeChoice("judges/mine.yaml", None)),
        ("judges/mine.yml", None, "openai/m", None, JudgeChoice("judges/mine.yml", None)),
        ("~/mine", None, "openai/m", None, JudgeChoice("~/mine", None)),
    ],
)
def test_choice_of_a_judge(
    judge: str | None, judge_model: str | None, model: str, suggested: str | None, choice: JudgeChoice
) -> None:
    assert choose(judge, judge_model, model, suggested) == choice


@pytest.mark.parametrize("model", ["openai/gpt-x", "hf/./tiny", "tinyllama", "mocker/x"])
def test_a_real_model_has_no_default_judge(model: str) -> None:
    with pytest.raises(UserError, match="needs a --judge. Choices: .*rsbench list judges"):
        choose(None, None, model, "overlap")


def test_a_rubric_judge_needs_a_model() -> None:
    def make(name: str) -> Model:
        return Scripted(name=name)

    with pytest.raises(UserError, match="'llm' needs --judge-model provider/model"):
        registry.build(JudgeChoice("llm", None), [], make, lambda model: model.generate)
    built = registry.build(JudgeChoice("llm", "openai/j"), [], make, lambda model: model.generate)
    assert built.name == "llm-openai/j"


@pytest.mark.parametrize("target", ["tests.no_such_module:Judge", "tests.unit.judging:NoSuchJudge"])
def test_a_python_judge_that_is_not_there(tmp_path: Path, target: str) -> None:
    card = tmp_path / "judge.yaml"
    card.write_text(f"schema: 1\nkind: python\nname: p\ndescription: d\npython: {target}\n")
    with pytest.raises(UserError, match=rf"judge\.yaml: python: '{target}' can't be imported"):
        registry.build(JudgeChoice(str(card), None), [], lambda name: Scripted(), lambda m: m.generate)


def test_no_model_judges_itself() -> None:
    with pytest.raises(UserError, match="is the model under test"):
        check_independence(Scripted(name="openai/m"), Scripted(name="azure/m"), True)


def test_no_model_is_judged_by_its_family_unless_told() -> None:
    model, judge = Scripted(name="openai/a"), Scripted(name="openai/b")
    with pytest.raises(UserError, match="own family .g.*--allow-same-family"):
        check_independence(model, judge, False)
    assert check_independence(model, judge, True) is None
    assert check_independence(model, Scripted(name="openai/b", family="h"), False) is None


def test_an_unknown_family_warns() -> None:
    known, unknown = Scripted(name="openai/a"), Scripted(name="openai/b", family=None)
    assert "openai/b is unknown" in str(check_independence(known, unknown, False))
    assert "openai/b is unknown" in str(check_independence(unknown, known, False))
    assert check_independence(MockModel("mock"), known, False) is None
