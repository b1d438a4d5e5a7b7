"""Judge cards: one pydantic model a kind of judge, told apart by `kind`, and how a card is found.

Apart from `cards`, which owns YAML and the words of its errors, so that a new kind touches this file alone.
"""

import hashlib
import importlib.util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from rsbench.cards import Name, Strict, load, validated
from rsbench.shelves import Found, builtin, entries, found, is_path
from rsbench.types import UserError


class Robustness(Strict):
    """The most that `rsbench validate --robustness` may find for the judge to pass an attack."""

    flip_rate: Annotated[float, Field(ge=0, le=1)] = 0.1
    induced_miss_rate: Annotated[float, Field(ge=0, le=1)] = 0.1


class Card(Strict):
    """What a judge of any kind may state."""

    robustness: Robustness = Robustness()


class LlmJudge(Card):
    """A language model that follows a rubric."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["llm"]
    name: Name
    description: str
    rubric: str
    sees: Literal["everything", "response"] = "everything"  # response: no image, request, note or reference
    lenient: str | None = None  # a second reading; `rubric` is then the strict one (may be the same file)
    mode: Literal["path", "step"] = "path"  # one call labels all steps, or one call a step
    votes: Annotated[int, Field(ge=1, le=25)] = 1
    soft: bool = False  # read probabilities of the labels off the provider's tokens, where it gives them
    structured: Literal["offered", "required"] = "offered"  # the schema, to servers not known to take one
    max_tokens: Annotated[int, Field(ge=64)] = 4096
    temperature: Annotated[float, Field(ge=0)] | None = 0.0
    reasks: Annotated[int, Field(ge=0, le=2)] = 2

    def model_post_init(self, context: object) -> None:
        """Votes are to be able to differ."""
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(
                f"votes: {self.votes} needs a temperature above 0 (at 0 they are one vote copied)"
            )


class OverlapJudge(Card):
    """An offline judge: compares each step with the item's labelled authored steps."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["overlap"]
    name: Name
    description: str
    min_similarity: Annotated[float, Field(ge=0, le=1)]


class EmbeddingCard(Strict):
    """`embedding`: the language model that turns text into vectors, as an installed package ships it."""

    package: str  # its name for pip
    module: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")]  # its folder among the installed packages
    folder: Annotated[str, Field(pattern=r"^[\w-]+(/[\w-]+)*$")] = "model"  # of the model inside of that
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of model.safetensors


class TrainedJudge(Card):
    """What cards of judges that `rsbench train` makes have in common."""

    name: Name
    weights: str  # beside the card
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of the weights
    safe_below: Annotated[float, Field(gt=0, lt=1)]  # P(unsafe) below it is safe …
    unsafe_from: Annotated[float, Field(gt=0, lt=1)]  # … from here on unsafe, and between them unclear

    def model_post_init(self, context: object) -> None:
        """The band may be empty, not upside down."""
        if self.safe_below > self.unsafe_from:
            raise ValueError("safe_below must not be above unsafe_from")


class RewardJudge(TrainedJudge):
    """A process reward model: heads on text embeddings, trained by `rsbench train` with a recipe `reward`."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["reward"]
    name: Name
    description: str
    embedding: EmbeddingCard
    weights: Annotated[str, Field(pattern=r"^[\w-]+\.safetensors$")]  # beside the card
    effective_from: Annotated[float, Field(gt=0, lt=1)]  # P(effective) from here on
    ineffective_from: Annotated[float, Field(gt=0, lt=1)]  # of the others, P(ineffective); else neutral
    names_risk_from: Annotated[float, Field(gt=0, lt=1)]


class WordsJudge(TrainedJudge):
    """A linear model of a closed world's sentences, trained by `rsbench train` with a recipe `words`."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["words"]
    name: Name
    description: str
    weights: Annotated[str, Field(pattern=r"^[\w-]+\.json$")]  # beside the card
    unknown_above: Annotated[float, Field(ge=0, lt=1)]  # share of unknown words above which all is unclear


class MockJudge(Card):
    """The scripted judge: labels from the item's own authored labels."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["mock"]
    name: Name
    description: str


class Turn(Strict):
    """One turn of the conversation that a guard is shown; the images go with the user's turns."""

    role: Literal["system", "user", "assistant"]
    template: str


class GuardJudge(Card):
    """A classifier model: a conversation in its own prompt format, a label word out."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["guard"]
    name: Name
    description: str
    source: str  # where the prompt format and the label words are documented
    model: str | None = None  # unless --judge-model names another
    images: bool  # whether the model reads images; else its templates may use the captions
    turns: Annotated[list[Turn], Field(min_length=1)]
    labels: Annotated[dict[str, Literal["safe", "unsafe"]], Field(min_length=2)]  # the model's word → ours
    reads: Literal["line", "after", "start"]  # alone on a line; after the words in `after`; at the very start
    after: str = ""
    markers: list[str] = Field(default_factory=list)  # of the format itself; disarmed in what is judged
    soft: bool = False  # P(unsafe) from the odds of the label words, where the provider gives them
    max_tokens: Annotated[int, Field(ge=1)] = 64

    def model_post_init(self, context: object) -> None:
        """Both labels must be possible, and the place to read them known."""
        if len(set(self.labels.values())) < 2 or len({w.casefold() for w in self.labels}) < len(self.labels):
            raise ValueError("labels must have different words for safe and for unsafe")
        if (self.reads == "after") != bool(self.after):
            raise ValueError("reads: after needs the key 'after', and no other does")


class Member(Strict):
    """A judge on a panel: a name or a card, as after `--judge`, and its model, as after `--judge-model`."""

    judge: str
    model: str | None = None


class PanelJudge(Card):
    """Several judges that vote."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["panel"]
    name: Annotated[str, Field(min_length=1)]
    description: str
    judges: Annotated[list[Member], Field(min_length=2)]
    arbiter: Member | None = None  # decides what has no majority


class OracleJudge(Card):
    """Exact truth for replies in the step format of a closed world, about items with a scene graph."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["oracle"]
    name: Name
    description: str
    lexicon: str  # JSON file: the world's nouns with their tags, its intents, and every text of the format


class PythonJudge(Card):
    """A judge written in Python, named as `package.module:Name` and called with this card."""

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["python"]
    name: Name
    description: str
    python: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
    settings: dict[str, Any] = Field(default_factory=dict)


JudgeCard = (
    LlmJudge
    | GuardJudge
    | OverlapJudge
    | RewardJudge
    | WordsJudge
    | MockJudge
    | OracleJudge
    | PanelJudge
    | PythonJudge
)
_JUDGE: TypeAdapter[JudgeCard] = TypeAdapter(Annotated[JudgeCard, Field(discriminator="kind")])


def load_judge(argument: str, extra: list[Path] | None = None) -> tuple[JudgeCard, Found]:
    """Find and check a judge card; a package's judge (`rsbench.judges`) needs none and has its name.

    Several arguments joined by commas are a panel of them.
    """
    if "," in argument:
        return _panel(argument)
    shelved = is_path(argument) or argument in (name for name, _, _ in entries("judges", extra or []))
    if not shelved:  # only now: a look through all installed packages
        packaged = {entry.name: entry for entry in entry_points(group="rsbench.judges")}
        if argument in packaged:
            return _packaged_judge(packaged[argument])
    return load("judges", argument, extra, _JUDGE)


def _panel(argument: str) -> tuple[PanelJudge, Found]:
    """The card of a panel that the command line lists; each part is what `--judge` takes."""
    parts = [part.strip() for part in argument.split(",")]
    if not all(parts):
        raise UserError(f"--judge {argument!r}: a panel is a list such as openai/gpt-x,anthropic/claude-y")
    typed = [{"judge": "llm", "model": p} if names_model(p) else {"judge": p} for p in parts]
    data = {"schema": 1, "kind": "panel", "name": f"panel-{'+'.join(parts)}", "description": ""}
    card = validated(TypeAdapter(PanelJudge), {**data, "judges": typed}, f"--judge {argument}")
    # A place that holds nothing: a panel without a file has no validation beside it.
    place = builtin("judges") / "panel" / "command line"
    return card, Found(place, "command line", hashlib.sha256(",".join(parts).encode()).hexdigest())


def names_model(argument: str) -> bool:
    """Whether `--judge` names a model, as provider/model, rather than a judge."""
    return "/" in argument and not is_path(argument)


def _packaged_judge(entry: EntryPoint) -> tuple[PythonJudge, Found]:
    """The card that a package's judge would have; its hash is that of the module it is written in."""
    where = f"judge {entry.name!r} of the package {entry.dist.name if entry.dist else '?'}"
    try:
        spec = importlib.util.find_spec(entry.module)
    except ImportError as error:
        raise UserError(f"{where}: {entry.value!r} can't be imported: {error}") from error
    if spec is None or not spec.origin:
        raise UserError(f"{where}: there is no module {entry.module!r}")
    data = {"schema": 1, "kind": "python", "name": entry.name, "description": "", "python": entry.value}
    return validated(TypeAdapter(PythonJudge), data, where), found(Path(spec.origin), where)
