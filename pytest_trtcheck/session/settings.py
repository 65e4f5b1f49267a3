"""Options and ini keys, resolved once into values that can be used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.rules.profiles import Profile, load_profile
from pytest_trtcheck.verdict.run import FailOn

if TYPE_CHECKING:
    import pytest

E = TypeVar("E", bound=Enum)

DEFAULT_REPORT_FOLDER = "trtcheck-report"


@dataclass(frozen=True)
class Settings:
    """What the user asked for."""

    level: Level
    profile: Profile
    fail_on: FailOn
    report_folder: Path
    overlays: tuple[Path, ...]


def read_settings(config: pytest.Config) -> Settings:
    """Resolve each setting from option, else ini key; raise OptionError for a value that cannot be used."""
    return Settings(
        level=_choice(config, "level", Level),
        profile=load_profile(_text(config, "profile")),
        fail_on=_choice(config, "fail_on", FailOn),
        report_folder=_report_folder(config),
        overlays=_overlays(config),
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
