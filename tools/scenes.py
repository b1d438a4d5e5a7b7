"""Draw the benchmark's scenes: one SVG text file a scene, one PNG an image.

A scene is plain SVG in which `<use href="noto:taxi" x="20" y="30" width="90" height="90"/>` stands for a
drawing of the art library (`tools/art/<kind>/<name>.svg`; kinds: noto, object, background). Drawings are
inlined before rasterising, so a scene stays short, diffs well, and its PNG depends on text and a pinned
rasteriser alone. System fonts are off: text would look different on every machine (and would give the risk
away).

    python tools/scenes.py render tasks/rsbench/scenes     every scene of a folder (or single files)
    python tools/scenes.py check  tasks/rsbench/scenes     exit 1 where a PNG and its source disagree
    python tools/scenes.py render … --icons icons.json     also copy missing Noto icons into the library
                                                           (icons.json: npm package @iconify-json/noto)
"""

import argparse
import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ART = Path(__file__).parent / "art"
KINDS = ("noto", "object", "background")
SVG = "http://www.w3.org/2000/svg"
HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
MAX_DEPTH = 5  # a drawing may use drawings; a cycle must end in an error, not in a hang

ET.register_namespace("", SVG)


class SceneError(ValueError):
    """A scene file that can't be drawn: names the file and what is wrong in it."""


def vendor(name: str, icons: Path) -> None:
    """Copy one Noto icon from the npm package's `icons.json` into the art library."""
    data = json.loads(icons.read_text())
    entry = data["icons"].get(name) or data["icons"].get(data.get("aliases", {}).get(name, {}).get("parent"))
    if entry is None:
        raise SceneError(f"noto:{name}: no such icon in {icons}")
    root = f'<svg xmlns="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 128 128">'
    (ART / "noto" / f"{name}.svg").write_text(f"{root}{entry['body']}</svg>\n")


def drawing(ref: str, icons: Path | None) -> ET.Element:
    """Parse one drawing of the art library, e.g. `noto:taxi`."""
    kind, _, name = ref.partition(":")
    if kind not in KINDS or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise SceneError(f"{ref!r} is not KIND:NAME with KIND one of {', '.join(KINDS)}")
    file = ART / kind / f"{name}.svg"
    if not file.exists() and kind == "noto" and icons is not None:
        vendor(name, icons)
    if not file.exists():
        raise SceneError(f"{ref}: no file {file}" + (" (pass --icons to copy it)" if kind == "noto" else ""))
    return ET.fromstring(file.read_text())


def _rename_ids(root: ET.Element, prefix: str) -> None:
    """Make ids unique to one use, so that two drawings may both call a gradient `a`."""
    for node in root.iter():
        for key, value in list(node.attrib.items()):
            if key == "id":
                node.set(key, prefix + value)
            elif key in HREFS and value.startswith("#"):
                node.set(key, "#" + prefix + value[1:])
            elif "url(#" in value:
                node.set(key, value.replace("url(#", f"url(#{prefix}"))


def inline(root: ET.Element, icons: Path | None = None, depth: int = 0) -> None:
    """Replace every `<use href="kind:name">` below `root` by the drawing itself, in place."""
    if depth > MAX_DEPTH:
        raise SceneError(f"drawings nested deeper than {MAX_DEPTH}: does one use itself?")
    for count, (parent, index) in enumerate(
        [(p, i) for p in root.iter() for i, node in enumerate(p) if node.tag == f"{{{SVG}}}use"]
    ):
        use = parent[index]
        ref = next((use.get(h, "") for h in HREFS if use.get(h)), "")
        if ref.startswith("#"):
            continue
        art = drawing(ref, icons)
        inline(art, icons, depth + 1)
        _rename_ids(art, f"{ref.replace(':', '-')}-{count}-")
        box = {key: use.attrib[key] for key in ("x", "y", "width", "height") if key in use.attrib}
        rest = {k: v for k, v in use.attrib.items() if k not in (*HREFS, *box)}
        group = ET.Element(f"{{{SVG}}}g", rest)
        art.attrib.update(
            {"x": "0", "y": "0", "width": "100%", "height": "100%", "overflow": "visible"} | box
        )
        group.append(art)
        group.tail = use.tail
        parent[index] = group


def to_svg(file: Path, icons: Path | None = None) -> str:
    """One scene file → self-contained SVG text."""
    try:
        root = ET.fromstring(file.read_text())
        inline(root, icons)
    except (ET.ParseError, SceneError) as error:
        raise SceneError(f"{file}: {error}") from error
    if any(node.tag in (f"{{{SVG}}}text", f"{{{SVG}}}image") for node in root.iter()):
        raise SceneError(f"{file}: <text> and <image> are not allowed; draw it with shapes")
    return ET.tostring(root, encoding="unicode")


def to_png(file: Path, icons: Path | None = None) -> bytes:
    """One scene file → PNG bytes at the scene's own size."""
    import resvg_py
    from PIL import Image

    raw = bytes(
        resvg_py.svg_to_bytes(svg_string=to_svg(file, icons), skip_system_fonts=True, background="#ffffff")
    )
    out = io.BytesIO()
    Image.open(io.BytesIO(raw)).convert("RGB").save(out, "PNG", optimize=True)
    return out.getvalue()


def same_pixels(a: bytes, b: bytes, tolerance: int = 2) -> bool:
    """Equal decoded pixels up to rounding differences between processors."""
    import numpy as np
    from PIL import Image, ImageChops

    left, right = (Image.open(io.BytesIO(x)).convert("RGB") for x in (a, b))
    if left.size != right.size:
        return False
    difference = np.asarray(ImageChops.difference(left, right))
    return int(difference.max()) <= tolerance


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("render", "check"))
    parser.add_argument("scenes", nargs="+", type=Path, help="scene files, or folders of them")
    parser.add_argument(
        "--out", type=Path, help="folder of the PNGs (default: images/ beside the scenes' folder)"
    )
    parser.add_argument(
        "--icons", type=Path, help="icons.json of @iconify-json/noto, to copy icons not yet in the library"
    )
    args = parser.parse_args(argv)
    files = sorted(f for s in args.scenes for f in (s.glob("*.svg") if s.is_dir() else [s]))
    bad = 0
    for file in files:
        target = (args.out or file.parent.parent / "images") / f"{file.stem}.png"
        try:
            png = to_png(file, args.icons)
        except (SceneError, ValueError) as error:
            sys.stderr.write(f"{error}\n")
            bad += 1
            continue
        if args.command == "render":
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists() or not same_pixels(png, target.read_bytes(), tolerance=0):
                target.write_bytes(png)
        elif not target.exists() or not same_pixels(png, target.read_bytes()):
            again = f"python tools/scenes.py render {file}"
            sys.stderr.write(f"{file}: {target} is missing or shows something else; run: {again}\n")
            bad += 1
    sys.stdout.write(f"{args.command}: {len(files) - bad} of {len(files)} scenes\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
