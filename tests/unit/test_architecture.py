"""The shape of the code: imports go one way, heavy packages load on use, files and functions stay short."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A module imports from its own layer and from those above it here. A package stands for its modules, unless
# they are named themselves. A new module needs a place in this list.
LAYERS = [
    {"", "types"},  # "" is rsbench/__init__.py: the version
    {"shelves", "stats", "bootstrap", "two_way", "steps", "readings", "formulas", "sheets", "images"},
    {"prompts", "store", "pages", "layouts", "official"},
    {
        "cards",
        "judge_cards",
        "item_records",
        "manifest",
        "units",
        "estimates",
        "breaks",
        "metric_specs",
        "metrics",
    },
    {
        "sources",
        "data",
        "gold",
        "compare",
        "conditions",
        "gap",
        "leakage",
        "agreement",
        "calibration",
        "correction",
    },
    {"models.base", "models.families", "records", "attacks", "robustness"},
    {"models", "limits", "pacing", "budget", "spending", "validation"},
    {"judges"},
    {"labels", "voting"},
    {"score"},
    {"settings"},
    {"plan"},
    {"submissions"},
    {"batches"},
    {"runner", "importing", "publishable", "row_labels", "row_texts", "report_items"},
    {"rows", "terminal", "forecast"},
    {
        "row_judge",
        "board_rows",
        "published",
        "identity",
        "model_check",
        "show_compare",
        "show_failures",
        "show_votes",
        "execute",
    },
    {"row_items"},
    {"row_check"},
    {"session", "shelf_tools", "trials", "validate", "show_judge", "label_terminal"},
    {"report", "exports.source"},
    {"exports.tables"},
    {"exports"},
    {"export"},
    {"report_page", "board_cache", "board_charts", "board_files", "board_items", "board_ties"},
    {"board_gather", "board_tables"},
    {"board_trained"},
    {"board_pairs", "board_site"},
    {"board_serve"},
    {"show", "ssui"},
    {"cli_options"},
    {
        "cli_export",
        "cli_import",
        "cli_label",
        "cli_leaderboard",
        "cli_run",
        "cli_shelves",
        "cli_ssui",
        "cli_train",
        "cli_validate",
    },
    {"cli"},
    {"__main__"},
]
HEAVY = {"torch", "transformers", "datasets", "openai", "anthropic", "trl", "peft", "accelerate"}
# A provider's module may need its own package from the start, because it is itself imported on use alone.
PROVIDERS = {
    "models.openai": {"openai"},
    "models.openai_batches": {"openai"},
    "models.anthropic": {"anthropic"},
    "models.anthropic_batches": {"anthropic"},
}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "rsbench").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in sources("rsbench")}


def imports(path: Path, on_load: bool = False) -> Iterator[str]:
    """Every dotted name a file imports; with `on_load` those alone that run when the module is loaded."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if on_load and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if on_load and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            yield from walk(child)

    return walk(ast.parse(path.read_text(encoding="utf-8")))


def inner(path: Path, on_load: bool = False) -> set[str]:
    """The modules of rsbench that a file imports."""
    found = set()
    for dotted in imports(path, on_load):
        package, _, rest = dotted.partition(".")
        if package == "rsbench":
            found.add(rest if rest in MODULES else rest.rpartition(".")[0])
    return found


PLACE = {module: depth for depth, layer in enumerate(LAYERS) for module in layer}


def layer(name: str) -> int | None:
    return PLACE.get(name, PLACE.get(name.partition(".")[0]))


def test_every_module_has_a_layer() -> None:
    assert len(PLACE) == sum(len(names) for names in LAYERS), "a module is listed twice"
    assert [name for name in MODULES if layer(name) is None] == [], "give new modules a place in LAYERS"
    assert set(PLACE) - set(MODULES) == set(), "modules that are gone"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_one_way(name: str) -> None:
    wrong = [other for other in inner(MODULES[name]) if (layer(other) or 0) > (layer(name) or 0)]
    assert wrong == [], f"{name} must not import {wrong}"


def test_types_import_nothing_of_ours() -> None:
    assert inner(MODULES["types"]) == set()


def test_no_two_modules_import_each_other() -> None:
    below = {name: inner(path) - {name} for name, path in MODULES.items()}

    def reach(name: str, seen: set[str]) -> set[str]:
        for other in below[name] - seen:
            seen |= {other}
            reach(other, seen)
        return seen

    assert [name for name in MODULES if name in reach(name, set())] == []


def test_the_harness_does_not_know_the_training() -> None:
    knowing = [n for n, p in MODULES.items() if any(d.split(".")[0] == "srpo_train" for d in imports(p))]
    assert knowing == []


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    found = {
        name: heavy
        for name, path in MODULES.items()
        if (heavy := {d.split(".")[0] for d in imports(path, on_load=True)} & HEAVY)
    }
    assert {name: heavy for name, heavy in found.items() if PROVIDERS.get(name) != heavy} == {}
    for provider in PROVIDERS:
        others = {name: path for name, path in MODULES.items() if name not in PROVIDERS}
        importers = [n for n, p in others.items() if provider in inner(p, on_load=True)]
        assert importers == [], f"{provider} is to be imported on use"


def test_loading_the_command_line_and_a_run_loads_nothing_heavy() -> None:
    code = "import sys, rsbench.cli, rsbench.show, rsbench.shelf_tools, rsbench.judges.registry\n"
    # A first look at one pair need not wait for scipy either.
    code += f"print(*sorted(set(sys.modules) & {HEAVY | {'scipy'}!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_loads_hardly_anything() -> None:
    # `rsbench --help` answers at once because the commands import what they need when they run.
    code = "import sys, rsbench.cli\n"
    code += "print(*sorted(set(sys.modules) & {'numpy', 'scipy', 'PIL', 'jinja2', 'pydantic', 'yaml'}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


OURS = sources("rsbench", "srpo_train", "tools")


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function; of a command its body alone, for its signature is the table of its options."""
    command = any(ast.unparse(d).startswith("app.command") for d in function.decorator_list)
    return (function.end_lineno or 0) - (function.body[0] if command else function).lineno + 1


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", OURS, ids=relative)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines <= 300, f"{relative(path)} has {lines} lines; split it by noun"
    functions = (
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    sizes = {function.name: length(function) for function in functions}
    assert {name: size for name, size in sizes.items() if size > 60} == {}, "split them"
