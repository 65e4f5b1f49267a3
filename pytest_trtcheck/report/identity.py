"""What this machine and its user are called, and which secrets stand in the environment: what reports must not tell."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.report.secrets import is_secret_name

LEAST_SECRET_CHARACTERS = 8
_LEAST_NAME_CHARACTERS = 3

# Names that name nobody: to mask them would take words out of versions, paths and messages.
_COMMON = (
    "admin app build builder ci container cuda debian default dev docker gitlab gpu host jenkins kube linux local "
    "localhost main machine node none nvidia pod python root runner server service test tests triton triton-server "
    "ubuntu user users work worker workspace"
)
_TOKENS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Identity:
    """Names and secrets to be masked wherever they stand."""

    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    """Home folders, absolute."""
    secrets: tuple[str, ...] = ()


def identity_of_here(environ: Mapping[str, str] = os.environ) -> Identity:
    """Return what is known of this machine without asking the network."""
    host = _host_name()
    return Identity(
        hosts=_telling((host, host.partition(".")[0], environ.get("HOSTNAME", ""))),
        users=_telling((_user_name(), *(environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")))),
        homes=_homes((environ.get("HOME", ""), str(Path("~").expanduser()))),
        secrets=tuple(
            dict.fromkeys(
                value
                for name, value in environ.items()
                if is_secret_name(name) and len(value) >= LEAST_SECRET_CHARACTERS and not value.startswith("/")
            )
        ),
    )


def _host_name() -> str:
    try:
        return socket.gethostname()
    except OSError:
        return ""


def _user_name() -> str:
    """Return the name of this user; a container often runs as a number that nobody named."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        return ""


def _telling(names: Iterable[str]) -> tuple[str, ...]:
    """Return those names that tell whose they are."""
    words = _component_words().union(_COMMON.split())
    kept = (name for name in names if len(name) >= _LEAST_NAME_CHARACTERS and name.lower() not in words)
    return tuple(name for name in dict.fromkeys(kept) if not name.isdigit())


def _component_words() -> frozenset[str]:
    texts = (part for component in COMPONENTS for part in (component.key, component.title, *component.distributions))
    return frozenset(word for text in texts for word in (text.lower(), *_TOKENS.split(text.lower())))


def _homes(folders: Iterable[str]) -> tuple[str, ...]:
    """Return home folders; one that is the root of the file system, or directly below /usr or the like, is no home."""
    cleaned = (folder.rstrip("/") for folder in folders)
    return tuple(
        dict.fromkeys(
            folder
            for folder in cleaned
            if folder.startswith("/") and folder not in {"/usr", "/opt", "/tmp", "/var", "/srv"}  # noqa: S108
        )
    )
