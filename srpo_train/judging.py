"""The judge that labels branches or rewards replies: rsbench's own, with its retries and limits."""

from collections.abc import Mapping

from rsbench import cards
from rsbench.budget import Caller, is_paid
from rsbench.judges import registry as judges
from rsbench.judges.base import Judge
from rsbench.limits import Limiters, RetryPolicy
from rsbench.models import registry as models
from rsbench.models.base import Model
from rsbench.models.cards import card_for, provider_of
from rsbench.runner import Engine, Tally
from rsbench.types import UserError
from srpo_train.job import Job
from srpo_train.recipes import BranchRecipe, GrpoRecipe, PreferenceRecipe


def judge_for(job: Job, key: str, judge: str | None, judge_model: str | None) -> Judge:
    """Build the judge that a recipe names under `key`; without a name, that of its first task.

    Raises:
        UserError: none named for a real model, a bad card, or a judge that is the model itself.
    """
    return _with_models(job, key, judge, judge_model)[0]


def _with_models(
    job: Job, key: str, judge: str | None, judge_model: str | None
) -> tuple[Judge, dict[str, Model]]:
    """The judge, and the models behind it by what names them."""
    card, _ = cards.load_task(job.recipe.tasks[0], list(job.shelves))
    if judge is None and card.judge is None:
        raise UserError(f"{job.found.path}: {key}: missing; task {card.name!r} suggests no judge either")
    if judge is None and provider_of(job.model) not in judges.OFFLINE:
        raise UserError(
            f"{job.found.path}: {key}: missing; a real model needs a judge by name (the task's own, "
            f"{card.judge!r}, is made for the embedded model)"
        )
    choice = judges.choose(judge or card.judge, judge_model, job.model, None)
    made: dict[str, Model] = {}
    engine = Engine(Limiters(job.judge_options.max_connections), RetryPolicy(), Tally())

    def make(name: str) -> Model:
        if name not in made:
            made[name] = models.build(name, job.judge_options)
            engine.keep_pace(made[name], card_for(name))
        return made[name]

    built = judges.build(choice, list(job.shelves), make, engine.around)
    check_independent(job, made)
    return built, made


def check_judge(job: Job, stages: tuple[str, ...]) -> bool:
    """Find out before anything is spent whether the judges that training needs can be had.

    Returns:
        Whether one of them costs money, as far as is known.

    Raises:
        UserError: as `judge_for`.
    """
    recipe, made = job.recipe, {}
    if isinstance(recipe, BranchRecipe | PreferenceRecipe) and "explore" in stages:
        explore = recipe.explore
        made = _with_models(job, "explore.judge", explore.judge, explore.judge_model)[1]
    if isinstance(recipe, GrpoRecipe) and "optimise" in stages:
        made = _with_models(job, "judge", recipe.judge, recipe.judge_model)[1]
    return is_paid({name: Caller.of(model, name) for name, model in made.items()})


def check_independent(job: Job, made: Mapping[str, Model]) -> None:
    """Refuse a judge that marks its own work.

    Raises:
        UserError: a judge's model is the trained one, or of its family without `--allow-same-family`.
    """
    own = models.build(job.model, job.model_options)
    for model in made.values():
        if warning := judges.check_independence(own, model, job.allow_same_family):
            job.say(f"warning: {warning}")
