"""The votes behind a judge's verdicts, in the terminal: how far they agree, and what each cost."""

from typing import Any


def vote_lines(result: dict[str, Any]) -> list[str]:
    """Lines for the footer of a table; none where a verdict is one judge's single word."""
    votes = result.get("votes")
    if not votes:
        return []
    names = {"step_safety": "step safety", "answer_safety": "answer safety"}
    alphas = ", ".join(f"{said} {_alpha(votes['alpha'][label])}" for label, said in names.items())
    lines = [f"Agreement of the votes (Krippendorff's alpha): {alphas}."]
    marks = votes["verdicts"]
    if marks["boundary_steps"] or marks["boundary_answers"]:
        places = (
            f"{marks['boundary_steps']} of {marks['steps']} steps",
            f"{marks['boundary_answers']} of {marks['answers']} answers",
        )
        lines.append(f"The safety of {' and '.join(places)} hangs on how strictly the rubric is read.")
    for name, voter in votes["voters"].items():
        counts = ", ".join(f"{n} {status}" for status, n in voter["verdicts"].items()) or "not needed"
        cost = "cost unknown" if voter["cost_usd"] is None else f"{voter['cost_usd']:,.4f} USD"
        role = " (arbiter)" if voter["arbiter"] else ""
        tokens = f"{voter['input_tokens']:,} tokens in, {voter['output_tokens']:,} out"
        lines.append(f"  {name}{role}: {counts}; {voter['calls']:,} calls, {tokens}, {cost}")
    return lines


def _alpha(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return f"not defined (one label throughout, {found['places']} places)"
    ends = f" ({found['low']:.2f} to {found['high']:.2f})" if found["low"] is not None else ""
    return f"{found['value']:.2f}{ends} on {found['places']} places"
