"""RegNet's rule of widths against the stages of the published networks."""

import pytest

from hub import registry
from hub.layers.mobile_conv import make_divisible
from hub.models import regnet


@pytest.mark.parametrize(
    ("name", "widths", "depths"),
    [
        ("regnetx_002", (24, 56, 152, 368), (1, 1, 4, 7)),
        ("regnetx_032", (96, 192, 432, 1008), (2, 6, 15, 2)),
        ("regnetx_080", (80, 240, 720, 1920), (2, 5, 15, 1)),
        ("regnety_032", (72, 216, 576, 1512), (2, 5, 13, 1)),
        ("regnety_080", (168, 448, 896, 2016), (2, 4, 10, 1)),
    ],
)
def test_published_stages(name, widths, depths):
    row = registry.factory(registry.info(name)).keywords
    found = regnet.stages(*(row[key] for key in ("w0", "wa", "wm", "depth", "group_width")))
    assert tuple(zip(*found, strict=True))[:2] == (widths, depths)


def test_whole_groups():
    assert regnet.nearest(392, 16) == 384  # 24.5 groups: halves go to the even number
    assert make_divisible(392, 16) == 400
    assert regnet.stages(80, 49.56, 2.88, 23, 120)[0] == (80, 2, 80)  # a group is never wider than its stage
