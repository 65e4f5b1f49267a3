"""The fuzz target of images, for a fixed number of inputs."""

from __future__ import annotations

from tests.image.fuzz import faults


def test_broken_images_are_read_or_refused_in_one_line() -> None:
    assert not faults(150)
