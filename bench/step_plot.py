"""Draws lines that change in steps, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 40, 44
_COLOURS = ("#c2571a", "#1f6f8b", "#5b8c2a")
_FONT = 'font-family="sans-serif" font-size="13"'


def step_plot(title: str, x: str, y: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return the picture of named lines; each point holds until the next. Both axes begin at 0."""
    points = [point for line in lines.values() for point in line]
    x_step, y_step = (_tick(max(point[axis] for point in points)) for axis in (0, 1))
    x_end = max(point[0] for point in points)
    y_end = -(-max(point[1] for point in points) // y_step) * y_step
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_FONT}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *_grid(x, y, x_end, y_end, x_step, y_step),
        *(part for n, (name, line) in enumerate(lines.items()) for part in _line(n, name, line, x_end, y_end)),
        "</svg>\n",
    ])  # fmt: skip


def _tick(most: float) -> float:
    """Return the least step of 1, 2 or 5 times a power of ten that makes at most eight of it."""
    steps = (base * 10**power for power in range(12) for base in (1, 2, 5))
    return next(step for step in steps if most / step <= 8)


def _place(x: float, y: float, x_end: float, y_end: float) -> tuple[float, float]:
    across, up = (_WIDTH - _LEFT - _RIGHT) * x / x_end, (_HEIGHT - _TOP - _BOTTOM) * y / y_end
    return round(_LEFT + across, 1), round(_HEIGHT - _BOTTOM - up, 1)


def _grid(x: str, y: str, x_end: float, y_end: float, x_step: float, y_step: float) -> Iterator[str]:
    for number in range(int(y_end / y_step) + 1):
        left, height = _place(0, number * y_step, x_end, y_end)
        yield f'<line x1="{left}" y1="{height}" x2="{_WIDTH - _RIGHT}" y2="{height}" stroke="#ddd"/>'
        yield f'<text x="{left - 8}" y="{height + 4}" text-anchor="end">{number * y_step:,.0f}</text>'
    for number in range(int(x_end / x_step) + 1):
        across, bottom = _place(number * x_step, 0, x_end, y_end)
        yield f'<text x="{across}" y="{bottom + 18}" text-anchor="middle">{number * x_step:,.0f}</text>'
    yield f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{escape(x)}</text>'
    yield f'<text x="8" y="18">{escape(y)}</text>'


def _line(number: int, name: str, line: Sequence[tuple[float, float]], x_end: float, y_end: float) -> Iterator[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    path, height = list[str](), 0.0
    for time, value in line:
        across, now = _place(time, value, x_end, y_end)
        path.append(f"H{across}V{now}" if path else f"M{across} {now}")
        height = now
    path.append(f"H{_place(x_end, 0, x_end, y_end)[0]}V{height}")
    yield f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield f'<text x="{_WIDTH - _RIGHT - 150}" y="{18 + 18 * number}" fill="{colour}">{escape(name)}</text>'
