"""Prompt templates and the quoting of untrusted text.

Templates come from cards, values from items and models. Rendering is sandboxed and strict: model text is only
ever a value, never a template, and a missing variable is an error rather than an empty string.
"""

import re
from functools import lru_cache
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rsbench.types import UserError

_ENV = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=False,
)


def read_template(path: Path) -> str:
    """Read one template file.

    Raises:
        UserError: it can't be read, or is not valid Jinja2.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _ENV.parse(text)
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        raise UserError(f"{path}: not a readable template: {error}") from error
    return text


def render(template: str, where: str, **values: object) -> str:
    """Fill a template.

    Raises:
        UserError: an unknown variable or a forbidden or failing operation, naming `where`.
    """
    try:
        return _compiled(template).render(**values).strip()
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}. Variables on offer: {', '.join(sorted(values))}") from error


@lru_cache(maxsize=64)  # compiling costs more than filling, and a run has a template or two
def _compiled(template: str) -> Template:
    return _ENV.from_string(template)


def quote(text: str, nonce: str, label: str) -> str:
    """Wrap untrusted text in delimiters that it can't close, because it can't know the nonce.

    Anything inside that looks like one of our delimiters loses its bracket first, so that even a leaked
    nonce closes nothing. Half a surrogate pair, which no provider could be sent, becomes a question mark.
    """
    sendable = text.encode("utf-8", "replace").decode("utf-8")
    safe = re.sub(rf"<(\s*(?:/\s*)?(?:data|{re.escape(nonce)}))", r"(\1", sendable, flags=re.IGNORECASE)
    return f'<data-{nonce} name="{label}">\n{safe}\n</data-{nonce}>'
