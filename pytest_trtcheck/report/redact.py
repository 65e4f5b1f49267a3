"""Mask what names a machine or its user, and what looks like a secret, before anything is written.

One pass over the report serves every format. Masking is stable: the same text gives the same mask, so that two GPUs
stay apart and names still agree with each other, and masking what is masked already changes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pytest_trtcheck.report.addresses import mask_addresses
from pytest_trtcheck.report.secrets import is_secret_name, mask_secrets

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import RunReport
    from pytest_trtcheck.report.identity import Identity

T = TypeVar("T")
USER = "<user>"
HOST = "<host>"
REDACTED = "<redacted>"

_MOST_REMEMBERED = 20_000
_LONGEST_REMEMBERED = 400

_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
# MIG-GPU-<uuid>/1/0 is the form of drivers before 470.
_GPU_UUID = re.compile(rf"\b(GPU|MIG)-(?:GPU-)?({_UUID})(?:/\d+/\d+)?")
_SERIAL = re.compile(
    r"(serial(?:[ _-]?(?:number|no))?['\"]?\s*[:=]\s*['\"]?)(?=[A-Za-z0-9-]*\d)[A-Za-z0-9-]{6,}", re.IGNORECASE
)
_SERIAL_NAME = re.compile(r"serial", re.IGNORECASE)
_UUID_NAME = re.compile(r"(?:^|_)uuids?$", re.IGNORECASE)
_HOMES = re.compile(r"(?<![\w.~-])/(home|Users)/(?!<user>)[^/\s:;,'\"<>()|]+")


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    mask: str


class Redactor:
    """Masks texts, and all texts in a report, a result or a JSON value."""

    def __init__(self, identity: Identity | None = None) -> None:
        """Mask by patterns alone; with an identity, also the names and secrets of this machine and user."""
        self._rules = _rules_of(identity) if identity else ()
        self._remembered: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return the text with everything masked that has to be."""
        known = self._remembered.get(text)
        if known is not None:
            return known
        masked = self._mask(text)
        if len(text) <= _LONGEST_REMEMBERED and len(self._remembered) < _MOST_REMEMBERED:
            self._remembered[text] = masked
        return masked

    def _mask(self, text: str) -> str:
        masked = mask_secrets(text, REDACTED)
        if "GPU-" in masked or "MIG-" in masked:
            masked = _GPU_UUID.sub(lambda match: _masked_uuid(match[1], match[2]), masked)
        masked = mask_addresses(masked)
        masked = _SERIAL.sub(rf"\g<1>{REDACTED}", masked)
        for rule in self._rules:
            masked = rule.pattern.sub(rule.mask, masked)
        return _HOMES.sub(lambda match: f"/{match[1]}/{USER}", masked) if "/" in masked else masked

    def value(self, value: Any, name: str = "") -> Any:
        """Return a dataclass of the model or a JSON value with all its texts masked; ``name`` is the key it has."""
        if isinstance(value, Enum) or value is None or isinstance(value, (bool, int, float)):
            return REDACTED if name and _tells_by_name(name, value) else value
        if isinstance(value, str):
            return self._named(value, name)
        if isinstance(value, (tuple, list)):
            return type(value)([self.value(item, name) for item in value])
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item, key) for key, item in value.items()}
        return self._dataclass(value)

    def report(self, report: RunReport) -> RunReport:
        """Return the report, masked."""
        masked: RunReport = self.value(report)
        return dataclasses.replace(masked, redacted=True)

    def _named(self, text: str, name: str) -> str:
        if name and text and _UUID_NAME.search(name):
            return _uuid_field(text)
        return REDACTED if name and text and _tells_by_name(name, text) else self.text(text)

    def _dataclass(self, value: Any) -> Any:
        changed = {}
        cls: type = type(value)
        for name in _text_fields(cls):
            before = getattr(value, name)
            after = self.value(before, name)
            if after is not before and after != before:
                changed[name] = after
        return dataclasses.replace(value, **changed) if changed else value


def _uuid_field(text: str) -> str:
    """Return the mask for what a field named uuid holds, whatever its form."""
    kind, _, rest = text.partition("-")
    return text if rest.startswith("masked-") else _masked_uuid(kind if rest else "UUID", text)


def _masked_uuid(kind: str, uuid: str) -> str:
    # A UUID has 122 random bits: nobody finds it again from six digits, and two GPUs stay apart.
    bare = uuid.lower().removeprefix("mig-").removeprefix("gpu-").partition("/")[0]
    return f"{kind}-masked-{hashlib.sha256(bare.encode(errors='replace')).hexdigest()[:6]}"


def _tells_by_name(name: str, value: object) -> bool:
    """Tell whether a value has to go for the name of its field alone."""
    if value is None or isinstance(value, bool) or value == REDACTED:
        return False
    return bool(_SERIAL_NAME.search(name)) or (isinstance(value, str) and is_secret_name(name))


@cache
def _text_fields(cls: type) -> tuple[str, ...]:
    """Return the fields of a dataclass that can hold text."""
    plain = {"int", "float", "bool", "int | None", "float | None", "bool | None"}
    return tuple(field.name for field in dataclasses.fields(cls) if str(field.type) not in plain)


def _rules_of(identity: Identity) -> tuple[_Rule, ...]:
    """Return what to replace, longest names first, so that no mask cuts into a longer name."""
    home = r"(?<![\w.~-]){}(?=$|[^\w.-])"
    word = r"(?<![\w.-]){}(?![\w-])"
    host = r"(?<![\w.-]){}(?:\.[A-Za-z0-9-]+)*(?![\w-])"
    groups: tuple[tuple[tuple[str, ...], str, str], ...] = (
        (identity.secrets, "{}", REDACTED),
        (identity.homes, home, "~"),
        (identity.hosts, host, HOST),
        (identity.users, word, USER),
    )
    return tuple(_rule(names, form, mask) for names, form, mask in groups if names)


def _rule(names: tuple[str, ...], form: str, mask: str) -> _Rule:
    either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return _Rule(re.compile(form.format(f"(?:{either})")), mask)


def redactor_of(no_redact: bool) -> Callable[[RunReport], RunReport]:
    """Return the function that masks a stored report by patterns and by what this machine is called; or none does."""
    return (lambda report: report) if no_redact else _redactor_here().report


def masker_of(no_redact: bool) -> Callable[[T], T]:
    """Return the function that masks in the same way what is made of reports: a matrix, a difference, a text."""
    return (lambda value: value) if no_redact else _redactor_here().value


def _redactor_here() -> Redactor:
    from pytest_trtcheck.report.identity import identity_of_here

    return Redactor(identity_of_here())
