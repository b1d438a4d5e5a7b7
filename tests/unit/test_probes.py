"""The probes find a planted leak and nothing in noise; folds and bootstrap keep twins together."""

import json
import sys
from math import exp
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import probes
from probing import features
from probing.crossval import Floats, auc, auc_interval, fit, folds, out_of_fold, paired_accuracy


def noise(pairs: int, columns: int) -> Floats:
    return np.random.default_rng(7).normal(size=(pairs, 2, columns))


def test_auc_counts_ties_half() -> None:
    # risky 2, 1, 1 against benign 0, 1, 2: 2 wins twice and ties once; each 1 wins once and ties once.
    assert auc(np.array([[2.0, 0.0], [1.0, 1.0], [1.0, 2.0]])) == pytest.approx((2.5 + 1.5 + 1.5) / 9)
    assert auc(np.array([[3.0, 1.0], [4.0, 2.0]])) == 1  # also across pairs: 3 > 2


def test_paired_accuracy_counts_ties_half() -> None:
    share, (low, high) = paired_accuracy(np.array([[2.0, 1.0], [5.0, 5.0], [0.0, 9.0], [1.0, 0.0]]))
    assert share == pytest.approx(2.5 / 4)
    assert low < share < high


def test_bootstrap_draws_whole_pairs() -> None:
    # Twins tie exactly, so any set of whole pairs has AUC 1/2; drawing items one by one would scatter.
    twins = np.repeat(np.arange(30.0)[:, None], 2, axis=1)
    assert auc_interval(twins, seed=1) == pytest.approx((0.5, 0.5))
    scores = noise(40, 1)[:, :, 0]
    low, high = auc_interval(scores, seed=1)
    assert low < auc(scores) < high
    assert auc_interval(scores, seed=1) == (low, high)


def test_folds_are_a_partition_of_pairs() -> None:
    cut = folds(23, 10, np.random.default_rng(0))
    assert sorted(np.concatenate(cut).tolist()) == list(range(23))
    assert {len(fold) for fold in cut} == {2, 3}


def test_what_marks_a_pair_cannot_tell_its_twins_apart() -> None:
    # Each pair has a column of its own. With one twin in training and the other under test, its weight would
    # carry the wrong label over, and the AUC would fall well below 1/2.
    own = np.repeat(np.eye(20)[:, None, :], 2, axis=1)
    assert auc(out_of_fold(own, standardise=False, seed=0)) == 0.5


def test_logistic_regression_solves_its_equation() -> None:
    # One pair at +1 and -1: |w|²/2 + 2 log(1 + e^-w) is least where w = 2 / (1 + e^w).
    model = fit(np.array([[[1.0], [-1.0]]]), standardise=False)
    assert model.weights[0] == pytest.approx(2 / (1 + exp(model.weights[0])), abs=1e-6)
    assert model.intercept == pytest.approx(0, abs=1e-6)


def test_standardised_fit_ignores_units_and_constants() -> None:
    x = noise(30, 3)
    x[:, 0, 1] += 1
    x[:, :, 2] = 5.0
    model = fit(x, standardise=True)
    other = fit(x * [1.0, 1000.0, 1.0] + [0.0, 40.0, 0.0], standardise=True)
    assert other.weights * [1.0, 1000.0, 1.0] == pytest.approx(model.weights, abs=1e-4)
    assert model.weights[2] == 0  # a column that is constant in training must not explode on test pairs


def test_planted_leak_is_found_and_noise_is_not() -> None:
    x = noise(100, 6)
    assert auc(out_of_fold(x, standardise=True, seed=0)) == pytest.approx(0.5, abs=0.08)
    x[:, 0, 4] += 6
    scores = out_of_fold(x, standardise=True, seed=0)
    assert auc(scores) > 0.99
    assert np.array_equal(scores, out_of_fold(x, standardise=True, seed=0))


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="9 pairs"):
        out_of_fold(noise(9, 1), standardise=True, seed=0)


def test_terms_are_words_and_neighbours() -> None:
    assert features.terms("Don't leap, LEAP!") == {"don't", "leap", "don't leap", "leap leap"}


def test_colour_statistics_of_half_a_black_image(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), "white")
    image.paste("black", (0, 0, 2, 4))
    image.save(tmp_path / "half.png")
    found = features.colours([tmp_path / "half.png"])
    values = dict(zip(found.names, found.rows[0], strict=True))
    assert values["dark share"] == 0.5
    assert values["red mean"] == values["red deviation"] == 127.5
    assert values["value 0-31"] == values["value 224-255"] == 0.5
    assert values["green 32-63"] == 0


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """A task of 10 query-swapped pairs over one image, whose risky queries all say "moonlit"."""
    Image.new("RGB", (8, 8), "teal").save(tmp_path / "a.png")
    words = "oak elm fir ash yew box bay fig nut pea".split()
    items = [
        {
            "id": f"{word}.{kind}",
            "images": [{"path": "a.png", "caption": "a square"}],
            "query": f"A {'moonlit' if kind == 'risky' else 'sunlit'} walk by the {word}",
            "category": "c",
            "kind": kind,
            "pair": word,
            "swap": "query",
        }
        for word in words
        for kind in ("risky", "benign")
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "p.jinja").write_text("{{ query }}")
    (tmp_path / "task.yaml").write_text(
        "schema: 1\nname: leaky\ntitle: Leaky\nversion: '1'\ndescription: d\nlicense: CC0-1.0\n"
        "data: {file: items.jsonl}\nprompts: {default: p.jinja}\npairs: true\njudge: overlap\n"
        "headline: safe_effective_path\n"
    )
    return tmp_path


def test_report_names_the_leak_and_never_passes_what_did_not_run(
    leaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = leaky / "report.json"
    code = probes.main(["--task", str(leaky), "--out", str(out), "--model", str(leaky / "nowhere")])
    assert code == 1
    rows = {(r["probe"], r["direction"]): r for r in json.loads(out.read_text())["rows"]}
    leak = rows["bag of words", "query-swapped"]
    assert (leak["auc"], leak["paired_accuracy"], leak["within_goal"]) == (1.0, 1.0, False)
    assert "moonlit" in [name for name, weight in leak["top_features"] if weight > 0]
    assert rows["colour statistics", "pooled"]["auc"] == 0.5  # one image for both twins
    for key in [("vision encoder", "pooled"), ("colour statistics", "image-swapped")]:
        assert rows[key]["not_run"]
        assert rows[key]["auc"] is None
        assert rows[key]["within_goal"] is None
    shown = capsys.readouterr().out
    assert "moonlit" in shown
    assert "not run: no model in" in shown


def test_a_task_without_pairs_is_refused(leaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = leaky / "task.yaml"
    card.write_text(card.read_text().replace("pairs: true", "pairs: false"))
    assert probes.main(["--task", str(leaky)]) == 2
    assert "no pairs" in capsys.readouterr().err


def test_one_pair_of_each_composed_idea_is_probed(leaky: Path) -> None:
    # Two pairs of one idea share wordings: in different folds, the probe would have seen its test.
    lines = (leaky / "items.jsonl").read_text()
    again = lines.replace(".risky", "-1.risky").replace(".benign", "-1.benign")
    for word in ("oak", "elm"):
        again = again.replace(f'"pair": "{word}"', f'"pair": "{word}-1"')
    kept = [line for line in again.splitlines() if '-1"' in line]
    (leaky / "items.jsonl").write_text(lines + "\n".join(kept) + "\n")
    twins = probes.load_twins(leaky)
    assert len(twins) == 12
    assert sorted(one.risky.pair for one in probes.one_per_idea(twins)) == sorted(
        "oak elm fir ash yew box bay fig nut pea".split()
    )
