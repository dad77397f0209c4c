"""The plots of the pages: well-formed, with every line inside the picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.step_plot import step_plot

SVG = "{http://www.w3.org/2000/svg}"


def test_every_line_is_drawn_in_steps_inside_the_picture():
    picture = ElementTree.fromstring(
        step_plot("<slots>", "s", "slots", {"up": [(0, 0), (10, 730)], "at work": [(5, 3)]})
    )
    assert [each.get("d") for each in picture.findall(f"{SVG}path")] == [
        "M64.0 296.0H744.0V62.4H744.0V62.4",
        "M404.0 295.0H744.0V295.0",
    ]
    texts = [each.text for each in picture.findall(f"{SVG}text")]
    assert {"up", "at work", "0", "800", "10"} <= set(texts)


def test_axes_end_at_a_round_number():
    picture = step_plot("t", "x", "y", {"line": [(0, 0), (45, 9_700)]})
    assert re.findall(r'end">([\d,]+)<', picture) == ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]
