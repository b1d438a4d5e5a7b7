r"""Cut a reply into the steps of its reasoning and an answer.

A pure function, versioned: the same reply always gives the same spans. The raw text is never altered; spans
are character offsets into it, in order and disjoint, so spans and the gaps between them join back to the
text.

The reasoning is, in this order: the provider's own thinking (a field of its own, or <think> tags), numbered
steps, paragraphs, sentences. Nothing that was said may go unjudged: with thinking in a field of its own the
whole text is the answer, and words before the first numbered step of a text belong to that step (in thinking
they are a step of their own). Between spans stand white space, answer markers and think tags alone.
"""

import re

from rsbench.types import Part, Reply, Source, Span, Steps

SEGMENTER = "auto"
VERSION = 1

_STEP = re.compile(
    r"^[ \t>]*(?:#{1,6}[ \t]*)?(?:\*\*|__)?step[ \t]+(\d{1,3})\b", re.IGNORECASE | re.MULTILINE
)
_LISTED = re.compile(r"^[ \t>]*(?:\*\*)?(\d{1,3})[.)][ \t]", re.MULTILINE)
_ANSWER = re.compile(
    r"^[ \t>]*(?:#{1,6}[ \t]*)?(?:\*\*|__)?(?:final[ \t]+)?answer(?:\*\*|__)?[ \t]*"
    r"(?:[:：]|\r?$)(?:\*\*|__)?",
    re.IGNORECASE | re.MULTILINE,
)
_THINK = re.compile(r"<(think|thinking)>", re.IGNORECASE)
_THINK_END = re.compile(r"</(?:think|thinking)>", re.IGNORECASE)
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*")
# The group is what may be cut away: a closing quote or bracket belongs to its sentence.
_SENTENCE_BREAK = re.compile(r"[.!?…][\"'”’)\]]*(\s+)|[。！？][\"'”’」』）]*()|(\n+)")

_Range = tuple[int, int]


def segment(reply: Reply) -> Steps:
    """Cut one reply. `source` is `none` when no reasoning can be told from the answer."""
    text = reply.text
    if reply.reasoning.strip():
        steps = _within(reply.reasoning, 0, len(reply.reasoning))
        return Steps(
            tuple(_span("reasoning", reply.reasoning, r) for r in steps),
            _span("text", text, (0, len(text))),
            "thinking",
        )
    opened, closed = _THINK.search(text), _THINK_END.search(text)
    if opened or closed:
        start = opened.end() if opened and (not closed or opened.end() <= closed.start()) else 0
        end = closed.start() if closed and closed.start() >= start else len(text)
        after = closed.end() if closed and closed.start() >= start else len(text)
        before = _pieces(text, 0, opened.start(), _PARAGRAPH_BREAK) if opened and start else []
        spans = tuple(_span("text", text, r) for r in [*before, *_within(text, start, end)])
        if spans:
            return Steps(spans, _span("text", text, (after, len(text))), "thinking")
        return _visible(text, after)  # an empty think block, as models with thinking switched off write
    return _visible(text, 0)


def _visible(whole: str, begin: int) -> Steps:
    """Steps of a text without thinking from `begin` on: numbered, else paragraphs, else sentences."""
    text = whole[begin:]

    def span(bounds: _Range) -> Span:
        return _span("text", whole, (begin + bounds[0], begin + bounds[1]))

    attempts: tuple[tuple[Source, tuple[list[_Range], _Range]], ...] = (
        ("numbered", _numbered(text)),
        ("paragraphs", _split(text, _PARAGRAPH_BREAK)),
        ("sentences", _split(text, _SENTENCE_BREAK)),
    )
    for source, (ranges, answer) in attempts:
        if ranges:
            return Steps(tuple(span(r) for r in ranges), span(answer), source)
    marker = _answer_marker(text, 0)
    return Steps((), span((marker[1] if marker else 0, len(text))), "none")


def _numbered(text: str) -> tuple[list[_Range], _Range]:
    """'Step N' markers, else 'N.' lists; the answer after its marker, else what follows the last step."""
    pattern = _STEP if _ascending(_STEP, text) else _LISTED
    marks = _ascending(pattern, text)
    if not marks:
        return [], (0, 0)
    marker = _answer_marker(text, marks[-1])
    first = _answer_marker(text, 0, last=False)
    if first and first[0] < marks[-1] and _is_list_of_answer(pattern, text, first[0]):
        marks, marker = [m for m in marks if m < first[0]], first
        if not marks:
            return [], (0, 0)
    stop = marker[0] if marker else len(text)
    start_of_last, marks[0] = marks[-1], 0
    ranges = list(zip(marks, [*marks[1:], stop], strict=True))
    if marker:
        return ranges, (marker[1], len(text))
    tail = _PARAGRAPH_BREAK.search(text, start_of_last)
    if tail and text[tail.end() :].strip():
        return [*ranges[:-1], (ranges[-1][0], tail.start())], (tail.end(), len(text))
    # No marker and nothing after the last step: the last step is the conclusion, so it is the answer.
    return (ranges[:-1], ranges[-1]) if len(ranges) > 1 else ([], (0, 0))


def _is_list_of_answer(pattern: re.Pattern[str], text: str, answer: int) -> bool:
    """Whether numbers after an answer marker are no reasoning: a plain list, or steps that restart at 1."""
    return pattern is _LISTED or any(int(m.group(1)) == 1 for m in pattern.finditer(text, answer))


def _ascending(pattern: re.Pattern[str], text: str) -> list[int]:
    """Starts of the markers 1, 2, 3, … in order; a number out of turn is text, not a marker."""
    starts: list[int] = []
    for match in pattern.finditer(text):
        if int(match.group(1)) == len(starts) + 1:
            starts.append(match.start())
    return starts


def _answer_marker(text: str, start: int, last: bool = True) -> _Range | None:
    matches = [m for m in _ANSWER.finditer(text) if m.start() >= start]
    if not matches:
        return None
    match = matches[-1] if last else matches[0]
    return match.start(), match.end()


def _split(text: str, separator: re.Pattern[str]) -> tuple[list[_Range], _Range]:
    """Pieces before the answer marker, or all but the last piece when there is no marker."""
    marker = _answer_marker(text, 0)
    pieces = _pieces(text, 0, marker[0] if marker else len(text), separator)
    if marker:
        return pieces, (marker[1], len(text))
    return (pieces[:-1], pieces[-1]) if len(pieces) > 1 else ([], (0, 0))


def _within(text: str, start: int, end: int) -> list[_Range]:
    """Steps of a stretch that is all reasoning: numbered (two at least), else paragraphs, else sentences."""
    for pattern in (_STEP, _LISTED):
        marks = _ascending(pattern, text[start:end])
        if len(marks) > 1:
            cuts = [start, *(start + m for m in marks), end]
            return [(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if text[a:b].strip()]
    paragraphs = _pieces(text, start, end, _PARAGRAPH_BREAK)
    return paragraphs if len(paragraphs) > 1 else _pieces(text, start, end, _SENTENCE_BREAK)


def _pieces(text: str, start: int, end: int, separator: re.Pattern[str]) -> list[_Range]:
    cuts = [start]
    for match in separator.finditer(text, start, end):
        cuts += match.span(match.lastindex or 0)
    cuts.append(end)
    return [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if text[a:b].strip()]


def _span(part: Part, text: str, bounds: _Range) -> Span:
    """A span without the white space at its ends."""
    start, end = bounds
    piece = text[start:end]
    stripped = piece.strip()
    lead = len(piece) - len(piece.lstrip()) if stripped else 0
    return Span(part, start + lead, start + lead + len(stripped))
