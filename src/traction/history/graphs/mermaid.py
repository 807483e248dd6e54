"""Write a graph as the text of a Mermaid flowchart.

Names are data of others: every character of a text that could have a meaning to Mermaid, Markdown or HTML is written as
an entity of its code point, and identifiers are made from numbers.

Source: Mermaid documentation, "Flowcharts - Basic Syntax": entity codes, subgraphs, classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from traction.history import escaping
from traction.history.graphs.arrangement import Box, Overlay, arrange
from traction.history.graphs.graph import Graph, NodeKind

TEXT_CHARS_MAX: Final = 80
"""Where texts are cut."""

COMMENT_CHARS_MAX: Final = 200
"""Where comments are cut."""

_SHAPES: Final[dict[NodeKind, tuple[str, str]]] = {
    "start": ("([", "])"),
    "close": ("([", "])"),
    "timer": ("{{", "}}"),
    "child": ("[[", "]]"),
    "signal": (">", "]"),
    "send": ("[/", "/]"),
    "marker": ("(", ")"),
    "local": ("(", ")"),
}
"""The brackets of a node; those of an activity are `[` and `]`."""

_PLAIN: Final = frozenset(" .,:-_=/×…✓✗–()+!?")
"""The characters that are written as they are, beside letters and digits."""

_STYLES: Final = {
    "Open": "stroke:#1f6feb,stroke-width:3px",
    "Done": "stroke:#2da44e,stroke-width:3px",
    "Failed": "stroke:#d1242f,stroke-width:3px",
    "Cancelled": "stroke:#9a6700,stroke-width:3px",
    "TimedOut": "stroke:#d1242f,stroke-width:3px,stroke-dasharray:4",
    "NotReached": "opacity:0.5",
}


def write_mermaid(graph: Graph, overlay: Overlay | None = None, *, comments: Iterable[str] = ()) -> str:
    """Return a graph, folded, as the text of a Mermaid flowchart.

    Args:
        graph: the graph.
        overlay: the states of the steps of a history, which are laid over.
        comments: lines that are written as comments at the head.
    """
    flow = arrange(graph, overlay)
    lines = [
        "flowchart TD",
        *(f"    %% {escape(line, COMMENT_CHARS_MAX)}" for line in comments),
        *_write_members(flow, "    "),
    ]
    if overlay is not None:
        classes = dict[str, list[str]]()
        for box in list_steps(flow):
            classes.setdefault(box.state or "NotReached", []).append(box.key)
        for name, style in _STYLES.items():
            if name in classes:
                lines += [f"    classDef {name} {style}", f"    class {','.join(classes[name])} {name}"]
    return "\n".join(lines) + "\n"


def list_steps(box: Box) -> Iterator[Box]:
    """Yield the boxes that hold no others, in the order of the flow."""
    for member in box.members:
        if member.members:
            yield from list_steps(member)
        else:
            yield member


def escape(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """Return a text for use between quotes, on one line, cut to a number of characters.

    Example:
        >>> escape('a "b" <c>')
        'a #34;b#34; #60;c#62;'
    """
    text = escaping.escape(text)
    if len(text) > chars_max:
        text = f"{text[: chars_max - 1]}…"
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in text)


def _write_members(box: Box, indent: str) -> Iterator[str]:
    with_members = {member.key for member in box.members if member.members}
    for member in box.members:
        if member.members:
            yield f'{indent}subgraph {member.key}["{_write_text(member)}"]'
            yield from _write_members(member, f"{indent}    ")
            yield f"{indent}end"
        else:
            left, right = _SHAPES.get(member.node.kind, ("[", "]"))
            yield f'{indent}{member.key}{left}"{_write_text(member)}"{right}'
    for arrow in box.arrows:
        # Mermaid cannot draw an arrow from a subgraph to itself. Its title has the number of rounds.
        if arrow.source == arrow.target and arrow.source in with_members:
            continue
        line = "-.->" if arrow.failed else "-->"
        text = f'|"{escape(arrow.text)}"|' if arrow.text else ""
        yield f"{indent}{arrow.source} {line}{text} {arrow.target}"


def _write_text(box: Box) -> str:
    return "<br/>".join(escape(line) for line in [box.title, *box.notes])
