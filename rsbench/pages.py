"""HTML pages from results: whole in one file, without network, running only what they were built with.

Shared by the report of a run and the leaderboard's site. Model output is hostile: templates escape, data
travels as a JSON block that no text can close, the page's own policy allows the very styles and scripts it
was made of, and characters that hide or reorder text are shown by their number.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rsbench import __version__
from rsbench.shelves import builtin

# The pages' own parts, and the leaderboard's, which lie on its shelf.
PLACES = (Path(__file__).parent / "templates", builtin("leaderboard") / "templates")
LONGEST = 300  # characters of a name that a page shows

# Half a surrogate pair, controls, soft hyphen, direction marks, overrides and isolates, joiners that join
# nothing, annotation marks, noncharacters, tag characters, supplementary variation selectors. Not the
# zero-width joiners, which emoji and several scripts are written with.
_HIDDEN_RANGES = (
    *((0xD800, 0xDFFF), (0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD)),
    *((0x061C, 0x061C), (0x180E, 0x180E), (0x200B, 0x200B), (0x200E, 0x200F), (0x2028, 0x202E)),
    *(
        (0x2060, 0x206F),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0xFFFE, 0xFFFF),
        (0xE0000, 0xE007F),
        (0xE0100, 0xE01EF),
    ),
)
# One pattern for Python and, as part of a page's data, for JavaScript (flags "gu").
HIDDEN = "[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in _HIDDEN_RANGES) + "]|\r(?!\n)"
_HIDDEN = re.compile(HIDDEN)


@dataclass(frozen=True)
class Page:
    """What a page is made of: files below one of `PLACES`."""

    template: str
    styles: tuple[str, ...]
    scripts: tuple[str, ...]


def render_page(
    page: Page, values: Mapping[str, object], data: object, images: str = "data:", frames: str = "'none'"
) -> str:
    """One whole HTML file.

    Args:
        page: Its template (which extends `page/base.html.jinja`), styles and scripts.
        values: The template's variables. Strings are escaped, whatever they hold.
        data: For the scripts; a JSON block with the id `data`.
        images: Where pictures may come from, as the policy says it.
        frames: Where pages in frames may come from, likewise.
    """
    style, script = _assets(page.styles), _assets(page.scripts)
    template = environment().get_template(page.template)
    return template.render(
        **values,
        version=__version__,
        policy=policy([script], [style], images, frames),
        style=Markup(style),  # our own files, never text of a model
        script=Markup(script),
        data=json_for_script(data),
    )


@cache
def environment() -> Environment:
    """Jinja2 with escaping on; one, so that a template is compiled once.

    The filter `shown` is for words that a stranger may have chosen; `whole` cuts nothing, for what ships with
    the program.
    """
    env = Environment(
        loader=FileSystemLoader(PLACES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["whole"] = lambda value: visible_text(str(value))
    env.filters["shown"] = shown
    return env


def json_for_script(value: object) -> Markup:
    """JSON that may stand inside a script element: no text in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Half a surrogate pair can't be UTF-8; its backslash form is its JSON escape.
    return Markup(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def policy(
    scripts: Sequence[str], styles: Sequence[str], images: str = "data:", frames: str = "'none'"
) -> str:
    """A content security policy that allows exactly these inline texts, and pictures and frames from there.

    Nothing is fetched, no form is sent, no handler attribute runs, and no script may turn text into HTML.
    """
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(map(_fingerprint, scripts)) or "'none'",
        "style-src": " ".join(map(_fingerprint, styles)) or "'none'",
        "img-src": images,
        **({} if frames == "'none'" else {"frame-src": frames}),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def visible_text(text: str) -> str:
    """Text whose hidden characters (controls, direction overrides …) are written as ⟨U+202E⟩."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)


def shown(value: object) -> str:
    """A stranger's words as a page shows them."""
    return clipped(visible_text(str(value)), LONGEST)


def clipped(text: str, most: int) -> str:
    """Text of at most `most` characters; what was left out is counted, so that nobody takes it for all."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most:,} more characters)"


def _assets(names: Sequence[str]) -> str:
    found = [next(place / name for place in PLACES if (place / name).is_file()) for name in names]
    return "\n".join(path.read_text(encoding="utf-8") for path in found)


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
