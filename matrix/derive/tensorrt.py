"""TensorRT releases, their Python names, and the rules for engines."""

from __future__ import annotations

import json
import re
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, load_source
from matrix.derive.values import (
    CAPABILITIES,
    DATE,
    PYTHONS,
    RANGE,
    TEXT,
    TEXTS,
    VERSION,
    VERSIONS,
    Parsed,
    kept,
    pattern,
    table,
    toolkit,
)
from matrix.derive.writer import ProductDraft, RowDraft

FILE = "tensorrt_releases.yaml"
# Row of the driver table, by the key a page uses.
_DRIVER_KEYS = {
    "linux": "12.x",
    "linux_cuda13": "13.x",
    "linux_packages_cuda13": "13.x",
    "linux_pip_cu12": "12.x",
}
_CONTRADICTIONS: dict[str, tuple[str, list[str]]] = {
    "version-compatible reach": ("tensorrt_engine", ["version_compatible"]),
    "IPluginV2 in 11.x": ("tensorrt", ["11.0.0", "11.1.0"]),
    "Python 3.8 and 3.9 in 11.x": ("tensorrt", ["11.0.0", "11.1.0", "11.2.1", "11.3.0", "11.4.0"]),
    "SM 75 in 11.0": ("tensorrt", ["11.0.0"]),
    "cuDNN for 8.6.1": ("tensorrt", ["8.6.1"]),
    "driver for CUDA 12": ("tensorrt", ["10.16.0", "10.16.1", "11.0.0", "11.1.0", "11.2.1", "11.3.0", "11.4.0"]),
    "Maxwell in 9.x": ("tensorrt", ["9.0.1", "9.1.0", "9.2.0", "9.3.0"]),
    "MoE on SM 12.x": ("tensorrt", ["11.1.0"]),
}
_REACH = {
    "plans of 8 run on 9 and 10": {"8": ["8", "9", "10"]},
    "plans of 10 run on 11; plans of 11.0 run on later 11.x": {"10": ["10", "11"], "11": ["11"]},
    "within the same major version": {"8": ["8"], "9": ["9"], "10": ["10"], "11": ["11"]},
}
_REQUIRED = table({True: True, False: False, "not said here": Parsed(None, "not said")})
_OTHER_BUILDS = "10.2.0.post1, 10.6.0.post1/post2, 10.7.0.post1, 10.13.3.9.post1"


def derive() -> list[ProductDraft]:
    """Return products tensorrt, tensorrt_api and tensorrt_engine."""
    top = Entry(load_source(FILE), FILE)
    top.text("schema")
    date = top.text("read_on")
    releases, api, engine = (
        ProductDraft(name, date, (FILE,)) for name in ("tensorrt", "tensorrt_api", "tensorrt_engine")
    )
    for entry in top.entries("releases", "release"):
        _release(entry, releases.row(entry.text("release")))
    for entry in top.entries("other_builds", "release"):
        _other_build(entry, releases)
    for row in releases.rows:
        fact = Fact(None, "matrix/sources/tensorrt_releases.yaml", "derived", "", row.id)
        row.put("soname_major", row.version.split(".")[0], fact, derived="first number of the version")
    _api(top, api)
    for entry in top.entries("behaviour", "topic"):
        fact = entry.fact("fact")
        words = fact.value if isinstance(fact.value, str) else json.dumps(fact.value)
        note = f" ({fact.note})" if fact.note else ""
        releases.note(f"{entry.text('topic')}: {words}{note}", fact.source, fact.confidence)
        entry.done()
    releases.note(top.raw("oss_tag_warning"))
    _engine(top.group("engine_compatibility"), engine)
    for raw in top.raw("contradictions"):
        if raw["topic"] not in _CONTRADICTIONS:
            raise ShapeError(f"{FILE}: contradiction {raw['topic']!r} is attached to no row")
        product, rows = _CONTRADICTIONS[raw["topic"]]
        (releases if product == "tensorrt" else engine).contradict(raw, rows)
    top.done()
    return [releases, api, engine]


def _release(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "build", VERSION)
    row.take(entry, "oss_commit_date", DATE, "oss_date")
    _oss_cuda(entry.fact("oss_recommended_cuda"), row)
    row.take(entry, "linux_x86_64_cuda_builds", VERSIONS, "cuda_builds")
    row.take(entry, "oss_python", _python_span)
    row.take(entry, "oss_default_sm", CAPABILITIES, "oss_sm")
    _cuda_supported(entry.fact("cuda_supported_docs"), row)
    _cudnn(entry.fact("cudnn"), row)
    for flavour in ("cu12", "cu13"):
        row.take(entry, f"python_wheels_{flavour}", PYTHONS)
    _capability(entry.fact("compute_capability"), row)
    _min_driver(entry.fact("min_driver"), row)
    if "changes" in entry:
        row.take(entry, "changes", TEXTS)
    entry.done()
    _cuda_majors(row)


def _oss_cuda(fact: Fact, row: RowDraft) -> None:
    if not fact.known:
        row.put("oss_cuda", None, fact)
        return
    matches = [re.fullmatch(r"cuda-([\d.]+)(?: \+ cuDNN-([\d.]+))?", text) for text in fact.value]
    if not all(matches):
        raise ShapeError(f"{fact.path}: {fact.value!r}")
    found = [match.groups() for match in matches if match]
    row.put("oss_cuda", [cuda for cuda, _ in found], fact)
    versions = {cudnn for _, cudnn in found if cudnn}
    if len(versions) > 1:
        raise ShapeError(f"{fact.path}: several cuDNN {versions}")
    if versions:
        row.put("oss_cudnn", versions.pop(), fact)


def _python_span(text: str) -> Any:
    match = re.fullmatch(r">= v3\.(\d+)(?:\.\d+)?, <= v3\.(\d+)\.x", text)
    if not match:
        raise ShapeError(f"expected a span of Python versions, found {text!r}")
    return kept([f"3.{minor}" for minor in range(int(match[1]), int(match[2]) + 1)], text)


def _cuda_supported(fact: Fact, row: RowDraft) -> None:
    if not fact.known:
        row.put("cuda_supported", None, fact)
    elif isinstance(fact.value, list):
        named = [toolkit(text) for text in fact.value]
        row.put("cuda_supported", kept(named, ", ".join(fact.value)) if named != fact.value else named, fact)
    else:
        keys = set(fact.value)
        if keys not in ({"packages"}, {"packages", "pip_cu13", "pip_cu12"}):
            raise ShapeError(f"{fact.path}: {fact.value!r}")
        row.put("cuda_supported", kept([toolkit(fact.value["packages"])], fact.value), fact)
        if len(keys) > 1:
            pip = {key.removeprefix("pip_"): toolkit(fact.value[key]) for key in ("pip_cu12", "pip_cu13")}
            row.put("cuda_supported_pip", pip, fact)


def _cudnn(fact: Fact, row: RowDraft) -> None:
    if set(fact.value) - {"version", "required", "sbsa"}:
        raise ShapeError(f"{fact.path}: {fact.value!r}")
    version, required = fact.value.get("version"), fact.value.get("required", "not said here")
    sbsa = f"SBSA: {fact.value['sbsa']}" if "sbsa" in fact.value else ""
    named = VERSION(version) if version else None
    row.put("cudnn", Parsed(named, sbsa or ("" if version else "no version named")), fact)
    row.put("cudnn_required", _REQUIRED(required), fact)
    if required is True:
        major = version.split(".")[0]
        row.put("cudnn_soname_major", major, fact, derived="first number of cudnn")


def _capability(fact: Fact, row: RowDraft) -> None:
    value = dict(fact.value)
    lowest = value.pop("min")
    note = value.pop("note", "")
    match = re.fullmatch(r"(?:[A-Z][a-z]+ \()?(\d+)\.(\d|x)\)?", lowest)
    if not match:
        raise ShapeError(f"{fact.path}: {lowest!r}")
    plain = f"{match[1]}.{match[2].replace('x', '0')}"
    words = "; ".join(filter(None, ("" if plain == lowest else f"source text: {lowest}", note)))
    row.put("min_compute_capability", Parsed(plain, words) if words else plain, fact)
    named = pattern(r"(\d+\.\d) \([A-Za-z ]+\)")
    for key in ("dropped", "added"):
        if key in value:
            parsed = named(value.pop(key))
            row.put(f"{key}_compute_capabilities", Parsed([parsed.value], parsed.note), fact)
    if value:
        raise ShapeError(f"{fact.path}: {value!r}")


def _min_driver(fact: Fact, row: RowDraft) -> None:
    value = dict(fact.value)
    windows = value.pop("windows", None)
    renamed = {key: key for key in value if re.fullmatch(r"\d+\.(?:\d+|x)", key)} | {
        key: _DRIVER_KEYS[key] for key in value if key in _DRIVER_KEYS
    }
    if set(renamed) != set(value):
        raise ShapeError(f"{fact.path}: {fact.value!r}")
    floors = {renamed[key]: RANGE(floor) for key, floor in value.items()}
    row.put("min_driver", kept(floors, json.dumps(value)) if set(value) != set(floors) else floors, fact)
    if windows:
        row.put("min_driver_windows", RANGE(windows), fact)


def _cuda_majors(row: RowDraft) -> None:
    names = ("cuda_builds", "cuda_supported", "python_wheels_cu12", "python_wheels_cu13")
    majors = {text.split(".")[0] for name in names[:2] for text in row.value(name) or ()}
    majors |= {name[-2:] for name in names[2:] if row.value(name)}
    if majors:
        used = [name for name in names if row.value(name)]
        row.put("cuda_majors", sorted(majors), row.as_fact(*used), derived=f"from {', '.join(used)}")


def _other_build(entry: Entry, draft: ProductDraft) -> None:
    text, fact = entry.text("release"), entry.fact("finding")
    entry.done()
    if text == _OTHER_BUILDS:
        for item in text.split(", "):
            version, _, posts = item.partition(".post")
            release = next(row for row in draft.rows if version.startswith(row.version))
            release.put("rebuilds", [f"{version}.post{post.removeprefix('post')}" for post in posts.split("/")], fact)
        return
    match = re.fullmatch(r"(\d+\.\d+\.\d+)(\.\d+)?( \(EA\))?", text)
    if not match:
        raise ShapeError(f"{entry.path}: {text!r}")
    index = re.fullmatch(r"index version string (\S+)", fact.value)
    if index:
        draft.find(match[1]).put("index_version", index[1], fact)
        return
    row = draft.row(match[1])
    if match[2]:
        row.put("build", f"{match[1]}{match[2]}", fact)
    row.put("remark", TEXT(fact.value), fact)


def _api(top: Entry, draft: ProductDraft) -> None:
    for entry in top.entries("python_api_added_or_kept", "symbol"):
        row = draft.row(entry.text("symbol"))
        row.take(entry, "first_present", VERSION)
        row.take(entry, "last_present", VERSION)
        entry.done()
    for entry in top.entries("python_api_removed", "symbol"):
        symbol = entry.text("symbol")
        known = next((row for row in draft.rows if row.version == symbol), None)
        row = known or draft.row(symbol)
        last = entry.fact("last_present")
        if known is None:
            row.parse("last_present", last, VERSION)
        elif row.value("last_present") != last.value:
            raise ShapeError(f"{entry.path}: last present {last.value} here, {row.value('last_present')} above")
        row.take(entry, "first_absent", VERSION)
        fact = entry.fact("replacement")
        row.put("replacement", Parsed(None, "none") if fact.value == "none" else TEXT(fact.value), fact)
        entry.done()


def _engine(group: Entry, draft: ProductDraft) -> None:
    """One row per rule; the two groups become rows with their typed cells and one row per rule in words."""
    for name in ("default_engine", "platform", "cross_platform_build"):
        draft.row(name).take(group, name, TEXT, "rule")
    version = group.group("version_compatible")
    row = draft.row("version_compatible")
    row.take(version, "direction", TEXT, "rule")
    row.take(version, "since", pattern(r"(8\.6) for both plan and runtime"))
    _reach(version, row)
    row.take(version, "lean_runtime_limits", TEXTS, "limits")
    _in_words(version, draft, "version_compatible")
    hardware = group.group("hardware_compatible")
    row = draft.row("hardware_compatible")
    row.take(hardware, "levels", lambda value: value, "values")
    _in_words(hardware, draft, "hardware_compatible")
    group.done()


def _reach(version: Entry, row: RowDraft) -> None:
    """Join what the pages of 10 and 11 say; the support matrix of 11.3 says less and stands as a contradiction."""
    ten, eleven, page = (version.fact(key) for key in ("reach_10_docs", "reach_11_docs", "reach_matrix_page"))
    for fact in (ten, eleven, page):
        if fact.value not in _REACH:
            raise ShapeError(f"{fact.path}: {fact.value!r}")
    note = f"{page.source} says: {page.value}"
    sources = f"{ten.source}; {eleven.source}; {page.source}"
    reach = _REACH[ten.value] | _REACH[eleven.value]
    row.put("reach", reach, Fact(None, sources, "derived", note, version.path))


def _in_words(group: Entry, draft: ProductDraft, prefix: str) -> None:
    taken = {"direction", "since", "lean_runtime_limits", "levels"}
    for key in group.keys():  # noqa: SIM118
        if key in taken or key.startswith("reach_"):
            continue
        row = draft.row(f"{prefix}.{key}")
        fact = group.fact(key)
        if isinstance(fact.value, list):
            row.parse("limits", fact, TEXTS)
        elif key.endswith("_since"):
            row.parse("since", fact, VERSION)
        else:
            row.parse("rule", fact, TEXT)
    group.done()
