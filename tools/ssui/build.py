"""Make SSUI-open from the grammar, or any number of further pairs.

    python tools/ssui/build.py            write tasks/ssui (the released items and images)
    python tools/ssui/build.py --check    exit 1 where tasks/ssui and the grammar disagree
    python tools/ssui/build.py --out more --per-idea 40 --seed 7
                                          other pairs of the same ideas, as a task folder
    … --icons icons.json                  also copy missing Noto icons (npm package @iconify-json/noto)

The released items are text under version control; rebuilding gives the same bytes.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is no package
import scenes

from ssui.art import ArtError, icons, png, same_picture
from ssui.compose import Drawn, heads, pairs_of
from ssui.grammar import SPLITS, Grammar, load

ROOT = Path(__file__).resolve().parents[2]
TASK = ROOT / "tasks" / "ssui"
PER_IDEA = {"train": 6, "reward": 5, "validation": 5}  # pairs of each idea that are released
SEED = 0


def composed(grammar: Grammar, per_idea: int | None = None, seed: int = SEED) -> dict[str, list[Drawn]]:
    """Every twin of every split, ideas interleaved so that a file doesn't show one idea five times running.

    `per_idea` pairs of each idea; by default as many as are released.
    """
    made: dict[str, list[Drawn]] = {split: [] for split in SPLITS}
    for number in range(per_idea or max(PER_IDEA.values())):
        for category, idea in grammar.ideas:
            if per_idea or number < PER_IDEA[idea.split]:
                made[idea.split] += pairs_of(grammar, category, idea, number, seed)
    return made


def text(drawn: list[Drawn]) -> str:
    """The items file of a split."""
    return "".join(json.dumps(one.row, ensure_ascii=False) + "\n" for one in drawn)


def write(made: dict[str, list[Drawn]], out: Path) -> int:
    """Write items and images; images that are right are left alone. Returns how many images changed.

    In the released task old images go; in a folder of the user's nothing is deleted.
    """
    changed = 0
    (out / "images").mkdir(parents=True, exist_ok=True)
    wanted = {one.image: one for drawn in made.values() for one in drawn}
    for split, drawn in made.items():
        (out / f"{split}.jsonl").write_text(text(drawn), encoding="utf-8")
    for name, one in wanted.items():
        changed += _write_image(out / name, one.svg())
    for path in (out / "images").glob("*.png") if out == TASK else ():
        if f"images/{path.name}" not in wanted:
            path.unlink()
            changed += 1
    return changed


def _write_image(path: Path, svg: str) -> int:
    image = png(svg)
    if path.is_file() and path.read_bytes() == image:
        return 0
    path.write_bytes(image)
    return 1


def disagreements(made: dict[str, list[Drawn]], task: Path, images: bool = True) -> list[str]:
    """What differs between the grammar and a task folder; without `images` their pixels are not compared."""
    wrong = []
    for split, drawn in made.items():
        path = task / f"{split}.jsonl"
        if not path.is_file() or path.read_text(encoding="utf-8") != text(drawn):
            wrong.append(f"{path}: not what the grammar gives")
    wanted = {one.image: one for drawn in made.values() for one in drawn}
    there = {f"images/{path.name}" for path in (task / "images").glob("*.png")}
    wrong += [f"{task / name}: missing" for name in sorted(wanted.keys() - there)]
    wrong += [f"{task / name}: belongs to no item" for name in sorted(there - wanted.keys())]
    for name in sorted(wanted.keys() & there) if images else ():
        if not same_picture(png(wanted[name].svg()), (task / name).read_bytes()):
            wrong.append(f"{task / name}: shows something else")
    return wrong


def vendor(grammar: Grammar, library: Path) -> None:
    """Copy the icons that the grammar needs and the art library lacks."""
    lines = [line for place in grammar.settings for line in place.draw]
    for _, idea in grammar.ideas:
        lines += [*(idea.side("risky").art or ()), *(idea.side("benign").art or ())]
    for name in sorted(icons(lines) | heads()):
        scenes.drawing(f"noto:{name}", library)


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=TASK, help="folder of the task")
    parser.add_argument("--per-idea", type=int, help="pairs of each idea")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--check", action="store_true", help="only say whether the folder is up to date")
    parser.add_argument("--icons", type=Path, help="icons.json of @iconify-json/noto")
    args = parser.parse_args(argv)
    grammar = load()
    if args.icons is not None:
        vendor(grammar, args.icons)
    try:
        made = composed(grammar, args.per_idea, args.seed)
    except (ArtError, scenes.SceneError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if args.check:
        wrong = disagreements(made, args.out)
        sys.stderr.write("".join(f"{line}\n" for line in wrong))
        return int(bool(wrong))
    changed = write(made, args.out)
    if args.out != TASK:
        card = (TASK / "task.yaml").read_text(encoding="utf-8")
        # A name of its own: its numbers must not be taken for those of the released validation split.
        name = f"name: ssui-{args.per_idea or 'as-released'}-seed{args.seed}"
        (args.out / "task.yaml").write_text(card.replace("name: ssui", name, 1), encoding="utf-8")
        shutil.copytree(TASK / "prompts", args.out / "prompts", dirs_exist_ok=True)
    pairs = {split: len(drawn) // 2 for split, drawn in made.items()}
    sys.stdout.write(f"{pairs} pairs; {changed} images changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
