"""Options and ini keys, resolved once into values that can be used."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_trtcheck.errors import OptionError, ReportError
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers.servers import Server, read_server
from pytest_trtcheck.report.formats import Renderer, choose_formats
from pytest_trtcheck.rules.profiles import Profile, load_profile
from pytest_trtcheck.session.limits import SERVING_FIGURES, read_limits
from pytest_trtcheck.verdict.run import FailOn

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pytest_trtcheck.image.pins import Contents
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.report import Location, Waiver
    from pytest_trtcheck.verdict.difference import Side

E = TypeVar("E", bound=Enum)

DEFAULT_REPORT_FOLDER = "trtcheck-report"


@dataclass(frozen=True)
class ImageSettings:
    """An image and what it is judged for."""

    given: str
    """``PATH`` or ``PATH@REFERENCE``."""
    target_gpu: str
    target_driver: str
    freeze: Path | None
    """Where to write what it contains."""
    pins: Contents | None
    """What it must contain."""


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    level: Level
    profile: Profile
    fail_on: FailOn
    report_folder: Path
    overlays: tuple[Path, ...]
    described: Stack | None
    """The stack of ``--trtcheck-stack``; None to judge this machine."""
    gpus: str | None
    """Numbers of the GPUs to use, as given; None for all that are visible."""
    deadline_seconds: float
    """Time for a check that declares none of its own."""
    seed: int | None
    """What inputs are drawn from; None for a fresh one."""
    formats: tuple[Renderer, ...]
    """What to write into the report folder."""
    locations: tuple[Location, ...]
    """Lines of the file of ``--trtcheck-source``."""
    redact: bool
    """Whether to mask host, user, GPU and secrets in all that is written."""
    waivers: tuple[Waiver, ...] = ()
    """What the file of ``--trtcheck-waivers`` holds."""
    baseline: Side | None = None
    """The run of ``--trtcheck-baseline``."""
    engines: tuple[Path, ...] = ()
    """Plans to be loaded."""
    image: ImageSettings | None = None
    """The image to judge; None to judge this machine or what is described."""
    triton_url: Address | None = None
    """A Triton server that runs already and is not ours; None to start one."""
    model_repository: Path | None = None
    """A model repository of the user's to check; None for none."""
    openai_url: Server | None = None
    """A server of completions that is to be judged."""
    openai_model: str = ""
    """What that server calls the probe model; empty for the first that it lists."""
    serving_limits: Mapping[str, float] = field(default_factory=dict)
    """The user's limits for what the serving suite measures, by figure."""


@dataclass(frozen=True)
class Address:
    """Where a server listens on this machine."""

    host: str
    port: int


def read_settings(config: pytest.Config) -> Settings:
    """Resolve each setting from option, else ini key; raise OptionError for a value that cannot be used."""
    image = _image(config)
    level = _choice(config, "level", Level) if image is None else _static(config)
    return Settings(
        level=level,
        profile=load_profile(_text(config, "profile")),
        fail_on=_choice(config, "fail_on", FailOn),
        report_folder=_report_folder(config),
        overlays=_overlays(config),
        described=_described(config),
        gpus=_text(config, "gpus") or None,
        deadline_seconds=_seconds(config, "deadline", level.check_deadline_seconds),
        seed=_seed(config),
        formats=choose_formats(_text(config, "format") or "default", "--trtcheck-format"),
        locations=_locations(config),
        redact=not config.option.trtcheck_no_redact,
        waivers=_waivers(config),
        baseline=_baseline(config),
        engines=_engines(config, level),
        image=image,
        triton_url=_triton_url(config),
        model_repository=_model_repository(config),
        openai_url=_openai_url(config),
        openai_model=_openai_model(config),
        serving_limits=read_limits("--trtcheck-serving-limits", _text(config, "serving_limits"), SERVING_FIGURES),
    )


def _text(config: pytest.Config, name: str) -> str:
    option = getattr(config.option, f"trtcheck_{name}")
    return str(option if option is not None else config.getini(f"trtcheck_{name}")).strip()


def _choice(config: pytest.Config, name: str, kind: type[E]) -> E:
    text = _text(config, name)
    try:
        return kind(text)
    except ValueError:
        values = ", ".join(str(member.value) for member in kind)
        raise OptionError(f"--trtcheck-{name.replace('_', '-')}: expected one of {values}, found {text!r}") from None


def _seconds(config: pytest.Config, name: str, default: float) -> float:
    text = _text(config, name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise OptionError(f"--trtcheck-{name}: expected a number of seconds above 0, found {text!r}")
    return value


def _seed(config: pytest.Config) -> int | None:
    text = _text(config, "seed")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 2**31):
        raise OptionError(f"--trtcheck-seed: expected a whole number from 0 to {2**31 - 1}, found {text!r}")
    return int(text)


def _locations(config: pytest.Config) -> tuple[Location, ...]:
    """Return where components are chosen; the file is relative like the one of ``--trtcheck-stack``."""
    text = _text(config, "source")
    if not text:
        return ()
    from pytest_trtcheck.session.source import read_locations

    return read_locations(_given_path(config, "source", text))


def _given_path(config: pytest.Config, name: str, text: str) -> Path:
    """Return a path; an option is relative to where pytest was started, an ini key to the rootdir."""
    option = getattr(config.option, f"trtcheck_{name}")
    return Path(config.rootpath if option is None else config.invocation_params.dir, text)


def _triton_url(config: pytest.Config) -> Address | None:
    """Return host and port of ``http://127.0.0.1:8000``; traffic of checks stays on this machine."""
    text = _text(config, "triton_url")
    if not text:
        return None
    match = re.fullmatch(r"(?:http://)?(127(?:\.\d{1,3}){3}|localhost|\[::1\]):(\d{1,5})/?", text)
    if match is None or not 0 < int(match[2]) < 2**16:
        raise OptionError(
            "--trtcheck-triton-url: expected the HTTP port of a server on this machine, such as http://127.0.0.1:8000, "
            f"found {text[:200]!r}"
        )
    return Address(match[1].strip("[]"), int(match[2]))


def _model_repository(config: pytest.Config) -> Path | None:
    """Return the folder; an option is relative to where pytest was started, an ini key to the rootdir."""
    text = _text(config, "model_repository")
    if not text:
        return None
    path = _given_path(config, "model_repository", text)
    if not path.is_dir():
        raise OptionError(f"--trtcheck-model-repository: expected a folder of models, found no folder at {path}")
    return path


def _openai_url(config: pytest.Config) -> Server | None:
    text = _text(config, "openai_url")
    try:
        return read_server(text) if text else None
    except ValueError as error:
        # What stands before an @ is not repeated: it may be a password.
        found = repr(text[:200]) if "@" not in text else "one with an @"
        raise OptionError(
            f"--trtcheck-openai-url: expected an URL such as http://127.0.0.1:8000/v1, found {found}: {error}"
        ) from None


def _openai_model(config: pytest.Config) -> str:
    name = _text(config, "openai_model")
    if name and not _text(config, "openai_url"):
        raise OptionError(f"--trtcheck-openai-model {name[:200]!r}: has no effect without --trtcheck-openai-url")
    return name


def _waivers(config: pytest.Config) -> tuple[Waiver, ...]:
    text = _text(config, "waivers")
    if not text:
        return ()
    from pytest_trtcheck.session.waivers import read_waivers

    return read_waivers(_given_path(config, "waivers", text), text)


def _baseline(config: pytest.Config) -> Side | None:
    """Return the earlier run; workers, which conclude nothing, do not read it."""
    text = _text(config, "baseline")
    if not text or hasattr(config, "workerinput"):
        return None
    from pytest_trtcheck.report.json_report import read_report
    from pytest_trtcheck.verdict.difference import side_of

    path = _given_path(config, "baseline", text)
    try:
        return side_of(read_report(path / "report.json" if path.is_dir() else path).report, text)
    except ReportError as error:
        raise OptionError(f"--trtcheck-baseline: {error}") from error


def _described(config: pytest.Config) -> Stack | None:
    """Return the described stack."""
    text = _text(config, "stack")
    if not text:
        return None
    from pytest_trtcheck.described.documents import read_text
    from pytest_trtcheck.described.read import one_stack

    return one_stack(read_text(_given_path(config, "stack", text), text), text)


_OF_AN_IMAGE = ("target_gpu", "target_driver", "freeze", "pins")


def _image(config: pytest.Config) -> ImageSettings | None:
    """Return what was asked of an image; OptionError for options of an image without one."""
    given = _text(config, "image")
    if not given:
        stray = next((name for name in _OF_AN_IMAGE if getattr(config.option, f"trtcheck_{name}")), None)
        if stray:
            raise OptionError(f"--trtcheck-{stray.replace('_', '-')} has no effect without --trtcheck-image")
        return None
    if _text(config, "stack"):
        raise OptionError("--trtcheck-image and --trtcheck-stack name two things to judge; give one of them")
    pins = _text(config, "pins")
    freeze = _text(config, "freeze")
    loaded = None
    if pins:
        from pytest_trtcheck.image.pins import read_pins

        loaded = read_pins(_given_path(config, "pins", pins), pins)
    return ImageSettings(
        given=str(_given_path(config, "image", given)),
        target_gpu=_text(config, "target_gpu"),
        target_driver=_text(config, "target_driver"),
        freeze=_given_path(config, "freeze", freeze) if freeze else None,
        pins=loaded,
    )


def _static(config: pytest.Config) -> Level:
    """Return the one level that an image is judged at: nothing of it is run."""
    if config.option.trtcheck_level is not None and _choice(config, "level", Level) is not Level.STATIC:
        raise OptionError("--trtcheck-level: an image is judged at level static, nothing of it is run; leave it out")
    return Level.STATIC


MAX_ENGINES = 64


def _engines(config: pytest.Config, level: Level) -> tuple[Path, ...]:
    """Return the plans that were named, those of a folder by name; OptionError where nothing would load them."""
    given = config.option.trtcheck_engine
    if not given:
        return ()
    if level is Level.STATIC or _text(config, "stack"):
        raise OptionError(
            "--trtcheck-engine: engines are loaded on this machine; level static and --trtcheck-stack load nothing"
        )
    found = [path for text in given for path in _plans_at(Path(config.invocation_params.dir, text), text)]
    if len(found) > MAX_ENGINES:
        raise OptionError(f"--trtcheck-engine: expected at most {MAX_ENGINES} engines, found {len(found)}")
    return tuple(found)


def _plans_at(path: Path, text: str) -> list[Path]:
    from pytest_trtcheck.probe.plan_files import SUFFIXES, is_plan_name

    try:
        if path.is_file():
            return [path]
        if not path.exists():
            raise OptionError(f"--trtcheck-engine: expected an engine or a folder of engines, found nothing at {text}")
        found = (
            sorted(one for one in path.iterdir() if is_plan_name(one.name) and one.is_file()) if path.is_dir() else []
        )
    except (OSError, ValueError) as error:
        raise OptionError(f"--trtcheck-engine: {text!r} cannot be read: {error}") from None
    if not found:
        raise OptionError(f"--trtcheck-engine: expected files ending in {' or '.join(SUFFIXES)}, found none in {text}")
    return found


def _report_folder(config: pytest.Config) -> Path:
    """Options are relative to where pytest was started, ini keys to the rootdir."""
    option = config.option.trtcheck_report
    if option is not None:
        if not option.strip():
            raise OptionError("--trtcheck-report: expected a folder, found an empty name")
        return Path(config.invocation_params.dir, option)
    return Path(config.rootpath, str(config.getini("trtcheck_report")).strip() or DEFAULT_REPORT_FOLDER)


def _overlays(config: pytest.Config) -> tuple[Path, ...]:
    option = config.option.trtcheck_matrix
    if option is not None:
        folders = [Path(config.invocation_params.dir, folder) for folder in option]
    else:
        folders = [Path(folder) for folder in config.getini("trtcheck_matrix")]
    for folder in folders:
        if not folder.is_dir():
            raise OptionError(f"--trtcheck-matrix: expected a folder of JSON files, found no folder at {folder}")
    return tuple(folders)
