"""Write a graph as SVG: with a title and a description, text that can be selected, and colours of the page around it.

The text has neither scripts, links nor images, and everything that comes from a history is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as escape_html
from typing import Final

from traction.history import escaping
from traction.history.graphs.arrangement import Box, Overlay, arrange
from traction.history.graphs.graph import Graph
from traction.history.graphs.layout import LINE, PADDING, PlacedArrow, PlacedBox, Point, lay_out, list_lines, shorten
from traction.history.graphs.mermaid import list_steps

STYLE: Final = """
.traction-graph { font: 13px system-ui, sans-serif; color-scheme: light dark; }
.traction-graph text { fill: currentColor; }
.traction-graph .note { font-size: 11px; opacity: .75; }
.traction-graph .box { fill: none; stroke: currentColor; stroke-opacity: .55; }
.traction-graph .place > .box { stroke-dasharray: 4 3; stroke-opacity: .4; }
.traction-graph .arrow path { fill: none; stroke: currentColor; stroke-opacity: .7; }
.traction-graph .arrow text { font-size: 11px; }
.traction-graph .failed .line { stroke-dasharray: 5 3; }
.traction-graph .arrow .head { fill: currentColor; }
.traction-graph .Open > .box { stroke: #1f6feb; stroke-width: 2.5; stroke-opacity: 1; }
.traction-graph .Done > .box { stroke: #2da44e; stroke-width: 2.5; stroke-opacity: 1; }
.traction-graph .Failed > .box { stroke: #d1242f; stroke-width: 2.5; stroke-opacity: 1; }
.traction-graph .TimedOut > .box { stroke: #d1242f; stroke-width: 2.5; stroke-opacity: 1; stroke-dasharray: 6 2; }
.traction-graph .Cancelled > .box { stroke: #9a6700; stroke-width: 2.5; stroke-opacity: 1; }
.traction-graph .not-reached { opacity: .5; }
"""
"""The style of the drawing. Lines and text have the `color` of the page around, in light and in dark mode."""


def write_svg(graph: Graph, overlay: Overlay | None = None, *, description: str = "", style: str = STYLE) -> str:
    """Return a graph, folded, as an SVG element.

    Args:
        graph: the graph.
        overlay: the states of the steps of a history, which are laid over.
        description: a text for those who cannot see the drawing, before the list of its steps.
        style: the style sheet in the element. A page that forbids inline styles passes an empty text, and puts `STYLE`
            into its own style sheet.
    """
    flow = arrange(graph, overlay)
    placed = lay_out(flow)
    name = next((box.node.name for box in flow.members if box.node.kind == "start"), "a flow")
    steps = ", ".join(" ".join([box.title, *box.notes]) for box in list_steps(flow) if box.node.kind != "start")
    size = (
        f'width="{placed.width:.0f}" height="{placed.height:.0f}" viewBox="0 0 {placed.width:.0f} {placed.height:.0f}"'
    )
    text = f"{description} Steps: {steps or 'none'}.".strip()
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="traction-graph" role="img" {size}>',
        f"<title>{escape(f'Graph of {name}')}</title>",
        f"<desc>{escape(text)}</desc>",
        *([f"<style>{style}</style>"] if style else []),
        *_write_members(placed),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return a text for use in XML, on one line, without control characters."""
    return escape_html(escaping.escape(text), quote=True)


def _write_members(placed: PlacedBox) -> Iterator[str]:
    for arrow in placed.arrows:
        yield from _write_arrow(arrow)
    for member in placed.members:
        yield from _write_box(member)


def _write_box(placed: PlacedBox) -> Iterator[str]:
    box, lines = placed.box, list_lines(placed.box)
    x, y, width, height = placed.x, placed.y, placed.width, placed.height
    yield f'<g class="{_list_classes(box)}" data-step="{escape(box.node.id)}">'
    yield f"<title>{escape(' '.join([box.title, *box.notes]))}</title>"
    radius = height / 2 if box.node.kind in ("start", "close", "timer") else 6
    yield (f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.1f}"/>')
    if box.node.kind == "child":
        yield f'<path class="box" d="M{x + 5:.1f} {y:.1f}v{height:.1f}M{x + width - 5:.1f} {y:.1f}v{height:.1f}"/>'
    for number, line in enumerate(lines):
        at = y + PADDING / 2 + LINE * (number + 0.8)
        middle = f'x="{x + width / 2:.1f}" y="{at:.1f}" text-anchor="middle"'
        where = middle if not placed.members else f'x="{x + PADDING:.1f}" y="{at:.1f}"'
        note = ' class="note"' if number else ""
        yield f"<text {where}{note}>{escape(line)}</text>"
    yield from _write_members(placed)
    yield "</g>"


def _list_classes(box: Box) -> str:
    words = [box.node.kind, "place" if box.members else "step"]
    if box.state is not None:
        words.append(box.state)
    elif box.states is not None and not box.members:
        words.append("not-reached")
    return " ".join(words)


def _write_arrow(placed: PlacedArrow) -> Iterator[str]:
    arrow, (x, y) = placed.arrow, placed.points[-1]
    yield '<g class="arrow failed">' if arrow.failed else '<g class="arrow">'
    yield f'<path class="line" d="{_write_path(placed.points, straight=placed.back)}"/>'
    head = f"M{x:.1f} {y:.1f}l7 -4v8z" if placed.back else f"M{x:.1f} {y:.1f}l-4 -7h8z"
    yield f'<path class="head" d="{head}"/>'
    if arrow.text:
        yield f'<text x="{placed.text_at[0]:.1f}" y="{placed.text_at[1]:.1f}">{escape(shorten(arrow.text))}</text>'
    yield "</g>"


def _write_path(points: tuple[Point, ...], *, straight: bool) -> str:
    """Return a path through the points: straight lines, or curves that leave and arrive upright."""
    (x, y), *others = points
    text = f"M{x:.1f} {y:.1f}"
    for next_x, next_y in others:
        bend = (next_y - y) / 2
        text += (
            f"L{next_x:.1f} {next_y:.1f}"
            if straight
            else f"C{x:.1f} {y + bend:.1f} {next_x:.1f} {next_y - bend:.1f} {next_x:.1f} {next_y:.1f}"
        )
        x, y = next_x, next_y
    return text
