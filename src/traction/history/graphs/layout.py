"""Lay out nested boxes in layers, from the top down.

Theory of operation. Edges connect members of one box only, so each box is laid out by itself, from the inside out, and
is then a rectangle in the box around it (Sugiyama, Tagawa, Toda, 1981, one box at a time):

1. The members come in the order of the flow. An arrow to an earlier one goes back, all others go down.
2. A member is in the layer below the lowest one that it follows.
3. An arrow over several layers passes through a slot in each layer between. If arrows have texts, there is a layer
   between any two, where each text has a slot of its width.
4. The members of a layer are sorted by the mean place of their neighbours, a few times down and up.
5. Each layer is placed so that its members are as near below their neighbours as their widths allow.

Arrows that go back run to the right of the members beside which they run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from traction.history.escaping import escape
from traction.history.graphs.arrangement import Arrow, Box
from traction.history.text import cut, measure

COLUMN: Final = 7.5
"""The width of a character, in the unit of the drawing: a pixel."""

LINE: Final = 16.0
"""The height of a line of text."""

PADDING: Final = 12.0
GAP: Final = 24.0
"""The space between two members of a layer."""

LAYER_GAP: Final = 36.0
"""The space between two layers."""

TEXT_GAP: Final = 18.0
"""The space between a layer and a layer of texts."""

TEXT_LINE: Final = 6.0
"""The space between an arrow and its text."""

LANE: Final = 14.0
"""The space for an arrow that goes back."""

SWEEPS: Final = 4
TEXT_COLUMNS_MAX: Final = 48

Point = tuple[float, float]


class PlacedArrow(msgspec.Struct, frozen=True):
    """An arrow with the points that it passes, and the place of its text."""

    arrow: Arrow
    points: tuple[Point, ...]
    text_at: Point
    back: bool


class PlacedBox(msgspec.Struct, frozen=True):
    """A box with its upper left corner, its size, and what is in it; all in the coordinates of the drawing."""

    box: Box
    x: float
    y: float
    width: float
    height: float
    members: tuple[PlacedBox, ...] = ()
    arrows: tuple[PlacedArrow, ...] = ()


class _Slot:
    """A member in a layer, or the passage of a long arrow through one."""

    __slots__ = ("above", "anchor", "below", "height", "layer", "placed", "width", "x")

    def __init__(self, layer: int, width: float, placed: PlacedBox | None = None, text: str = "") -> None:
        self.layer, self.placed = layer, placed
        self.width = TEXT_LINE * 2 + measure(text) * COLUMN if text else width
        self.height = placed.height if placed is not None else LINE if text else 0.0
        self.anchor = TEXT_LINE if text else width / 2
        self.x = 0.0
        self.above: list[_Slot] = []
        self.below: list[_Slot] = []

    @property
    def middle(self) -> float:
        return self.x + self.anchor


def lay_out(box: Box) -> PlacedBox:
    """Return a box with the places of everything in it; its upper left corner is at 0, 0.

    Args:
        box: the box, whose members are in the order of the flow.
    """
    return _shift(_lay_out(box), 0.0, 0.0)


def shorten(text: str) -> str:
    """Escape a text, and cut it to the width that a box may have."""
    return cut(escape(text), TEXT_COLUMNS_MAX)


def list_lines(box: Box) -> list[str]:
    """Return the lines of text in a box."""
    return [shorten(line) for line in [box.title, *box.notes] if line]


def _measure_text(lines: Sequence[str]) -> float:
    return max((measure(line) for line in lines), default=0) * COLUMN


def _lay_out(box: Box) -> PlacedBox:
    lines = list_lines(box)
    head = len(lines) * LINE
    if not box.members:
        return PlacedBox(box, 0, 0, max(_measure_text(lines), 40) + 2 * PADDING, head + 1.25 * PADDING)
    placed = [_lay_out(member) for member in box.members]
    keys = {member.key: number for number, member in enumerate(box.members)}
    down = [arrow for arrow in box.arrows if keys[arrow.source] < keys[arrow.target]]
    back = [arrow for arrow in box.arrows if keys[arrow.source] >= keys[arrow.target]]
    layers, passages = _make_layers(placed, down, keys)
    _sort_layers(layers)
    _place_layers(layers)
    left = min(slot.x for layer in layers for slot in layer)
    gap = LAYER_GAP if not any(arrow.text for arrow in down) else TEXT_GAP
    top = PADDING + head + (PADDING / 2 if head else 0)
    members, bands = dict[str, PlacedBox](), list[tuple[float, float]]()
    for layer in layers:
        height = max((slot.height for slot in layer), default=0.0)
        bands.append((top, top + height))
        for slot in layer:
            slot.x += PADDING - left
            if slot.placed is not None:
                y = top + (height - slot.placed.height) / 2
                members[slot.placed.box.key] = _shift(slot.placed, slot.x, y)
        top += height + gap
    right = max(slot.x + slot.width for layer in layers for slot in layer)
    arrows = [_draw_down(arrow, members, passages.get(arrow, ()), bands) for arrow in down]
    arrows += [_draw_back(arrow, members, LANE * (lane + 1)) for lane, arrow in enumerate(back)]
    texts = [arrow.text_at[0] + measure(shorten(arrow.arrow.text)) * COLUMN for arrow in arrows if arrow.arrow.text]
    width = max([right + LANE * len(back), _measure_text(lines) + PADDING, *texts]) + PADDING
    return PlacedBox(
        box, 0, 0, width, top - gap + PADDING, tuple(members[one.key] for one in box.members), tuple(arrows)
    )


def _make_layers(
    placed: Sequence[PlacedBox], down: Sequence[Arrow], keys: Mapping[str, int]
) -> tuple[list[list[_Slot]], dict[Arrow, list[_Slot]]]:
    """Put members into layers, and give arrows over several layers a passage through each layer between."""
    follows = defaultdict[str, list[str]](list)
    for arrow in down:
        follows[arrow.target].append(arrow.source)
    numbers = dict[str, int]()
    for one in placed:
        numbers[one.box.key] = max((numbers[source] + 1 for source in follows[one.box.key]), default=0)
    if any(arrow.text for arrow in down):
        numbers = {key: 2 * number for key, number in numbers.items()}
    layers = [list[_Slot]() for _ in range(max(numbers.values()) + 1)]
    slots = dict[str, _Slot]()
    for one in placed:
        slot = slots[one.box.key] = _Slot(numbers[one.box.key], one.width, one)
        layers[slot.layer].append(slot)
    passages = dict[Arrow, list[_Slot]]()
    for arrow in sorted(down, key=lambda arrow: (keys[arrow.source], keys[arrow.target])):
        upper, lower = slots[arrow.source], slots[arrow.target]
        chain = [upper]
        for number in range(upper.layer + 1, lower.layer):
            passage = _Slot(number, LANE, text=shorten(arrow.text) if number == upper.layer + 1 else "")
            layers[number].append(passage)
            chain.append(passage)
        passages[arrow] = chain[1:]
        chain.append(lower)
        for above, below in pairwise(chain):
            above.below.append(below)
            below.above.append(above)
    return layers, passages


def _sort_layers(layers: Sequence[list[_Slot]]) -> None:
    """Sort each layer by the mean place of the neighbours, down and up."""
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            places = {id(slot): place for near in layers for place, slot in enumerate(near)}
            means = {}
            for place, slot in enumerate(layer):
                near = slot.above if sweep % 2 == 0 else slot.below
                means[id(slot)] = sum(places[id(one)] for one in near) / len(near) if near else float(place)
            layer.sort(key=lambda slot: means[id(slot)])


def _place_layers(layers: Sequence[list[_Slot]]) -> None:
    """Give each slot its x: near the middle of its neighbours, without overlaps."""
    for layer in layers:
        x = 0.0
        for slot in layer:
            slot.x = x
            x += slot.width + GAP
    for sweep in range(2 * SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for slot in layer:
                near = slot.above if sweep % 2 == 0 else slot.below
                middle = sum(one.middle for one in near) / len(near) if near else slot.middle
                wanted.append(middle - slot.anchor)
            _spread(layer, wanted)


def _spread(layer: Sequence[_Slot], wanted: Sequence[float]) -> None:
    """Place slots from left to right as near as possible to where they should be: in blocks that touch each other.

    A block is placed at the mean of what its slots want; blocks that overlap become one.
    """
    blocks = list[tuple[list[_Slot], float, float]]()
    for slot, x in zip(layer, wanted, strict=True):
        block, start, width = [slot], x, slot.width
        while blocks and blocks[-1][1] + blocks[-1][2] + GAP > start:
            before, begin, wide = blocks.pop()
            total = len(before) + len(block)
            start = (begin * len(before) + (start - wide - GAP) * len(block)) / total
            block, width = before + block, wide + GAP + width
        blocks.append((block, start, width))
    for block, x, _ in blocks:
        for slot in block:
            slot.x = x
            x += slot.width + GAP


def _draw_down(
    arrow: Arrow, members: Mapping[str, PlacedBox], passages: Sequence[_Slot], bands: Sequence[tuple[float, float]]
) -> PlacedArrow:
    source, target = members[arrow.source], members[arrow.target]
    points = [(source.x + source.width / 2, source.y + source.height)]
    for passage in passages:
        points += [(passage.middle, y) for y in bands[passage.layer]]
    points.append((target.x + target.width / 2, target.y))
    text_at = (points[1][0] + TEXT_LINE, sum(bands[passages[0].layer]) / 2 + LINE / 4) if passages else points[0]
    return PlacedArrow(arrow, tuple(points), text_at, False)


def _draw_back(arrow: Arrow, members: Mapping[str, PlacedBox], lane: float) -> PlacedArrow:
    """Draw an arrow back: to the right of all members beside which it runs, at a distance of its own."""
    source, target = members[arrow.source], members[arrow.target]
    beside = [one for one in members.values() if target.y < one.y + one.height and one.y < source.y + source.height]
    lane += max(one.x + one.width for one in beside)
    out = source.y + source.height * 2 / 3, target.y + target.height / 3
    points = (
        (source.x + source.width, out[0]),
        (lane, out[0]),
        (lane, out[1]),
        (target.x + target.width, out[1]),
    )
    return PlacedArrow(arrow, points, (lane + 4, (out[0] + out[1]) / 2 + LINE / 4), True)


def _shift(placed: PlacedBox, x: float, y: float) -> PlacedBox:
    """Return a box and everything in it, moved."""
    return msgspec.structs.replace(
        placed,
        x=placed.x + x,
        y=placed.y + y,
        members=tuple(_shift(member, x, y) for member in placed.members),
        arrows=tuple(
            msgspec.structs.replace(
                arrow,
                points=tuple((px + x, py + y) for px, py in arrow.points),
                text_at=(arrow.text_at[0] + x, arrow.text_at[1] + y),
            )
            for arrow in placed.arrows
        ),
    )
