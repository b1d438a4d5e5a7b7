"""Prompt templates and the quoting of untrusted text.

Templates come from cards, values from items and models. Rendering is sandboxed and strict: model text is only
ever a value, never a template, and a missing variable is an error rather than an empty string.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rsbench.types import UserError

# How the tokenizers in use write their control tokens; in a chat, text that holds one would end its turn.
_CONTROL = re.compile(
    r"<(?=[|｜]|/?(?:s|bos|eos|pad|unk|image|img|start_of_turn|end_of_turn|"
    r"start_of_image|end_of_image|image_soft_token|begin_of_text|end_of_text)\s*>)",
    re.IGNORECASE,
)

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


def check_shows_query(template: str, where: str) -> None:
    """A prompt without the item's query would measure what nobody asked.

    Raises:
        UserError: whatever the query, the prompt is the same; or as `render`.
    """
    if render(template, where, query="one question") == render(template, where, query="other request"):
        raise UserError(f"{where}: the prompt never shows the item's query; write {{{{ query }}}} into it")


def render(template: str, where: str, **values: object) -> str:
    """Fill a template.

    Raises:
        UserError: an unknown variable or a forbidden or failing operation, naming `where`.
    """
    try:
        return _compiled(template).render(**values).strip()
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}. Variables on offer: {', '.join(sorted(values))}") from error


def disarm(text: str, markers: Sequence[str] = ()) -> str:
    """Untrusted text for a prompt whose format is a model's own and has no nonce.

    Every "<" becomes "(", so that neither a control token nor a closing tag is left; `markers`, the words
    with which the format itself begins its parts, become "(words)".
    """
    safe = re.sub(r"\[(/?INST)\]", r"(\1)", _sendable(text).replace("<", "("))
    for marker in markers:
        bare = marker.strip(" :*#\"'\n").replace("\\", r"\\")
        safe = re.sub(re.escape(marker), f"({bare})", safe, flags=re.IGNORECASE)
    return safe


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


@lru_cache(maxsize=64)  # compiling costs more than filling, and a run has a template or two
def _compiled(template: str) -> Template:
    return _ENV.from_string(template)


def quote(text: str, nonce: str, label: str) -> str:
    """Wrap untrusted text in delimiters that it can't close, because it can't know the nonce.

    Anything inside that looks like one of our delimiters loses its bracket first, so that even a leaked
    nonce closes nothing; so does what a tokenizer could take for a control token, such as the end of a turn.
    Half a surrogate pair, which no provider could be sent, becomes a question mark.
    """
    delimiter = rf"<(\s*(?:/\s*)?(?:data|{re.escape(nonce)}))"
    safe = re.sub(delimiter, r"(\1", _sendable(text), flags=re.IGNORECASE)
    safe = _CONTROL.sub("(", safe)
    return f'<data-{nonce} name="{label}">\n{safe}\n</data-{nonce}>'
