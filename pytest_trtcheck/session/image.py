"""The image under test: opened, read, held against its pins, and written down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.pins import contents_of, pins_fact, to_text
from pytest_trtcheck.image.target import read_target
from pytest_trtcheck.model.report import RunVerdict

if TYPE_CHECKING:
    from pytest_trtcheck.image.pins import Contents
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.report import RunReport
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.session.run import Run
    from pytest_trtcheck.session.settings import ImageSettings


def judged_image(settings: ImageSettings, matrix: Matrix) -> tuple[Stack, Contents]:
    """Return the facts of an image and what it contains; TrtcheckError, one line, where it cannot be read."""
    target = read_target(settings.target_gpu, settings.target_driver, matrix)
    with open_image(settings.given) as image:
        stack = probe_image(image, target, matrix)
        contents = contents_of(stack, image.root)
    if settings.pins is not None:
        stack = replace(stack, facts={**stack.facts, "pins": pins_fact(settings.pins, contents)})
    return stack, contents


def freeze(run: Run, report: RunReport) -> list[str]:
    """Write down what the image contains, where that was asked for; return what went wrong, in words."""
    settings, contents = run.settings.image, run.contents
    if settings is None or settings.freeze is None or contents is None:
        return []
    if report.verdict is RunVerdict.REJECTED:
        return [f"--trtcheck-freeze: {settings.freeze} was not written: the image was rejected"]
    try:
        settings.freeze.write_text(to_text(contents), encoding="utf-8")
    except OSError as error:
        return [f"--trtcheck-freeze: {settings.freeze}: {error.strerror or error}"]
    return []
