"""CUDA: driver families, toolkit releases, forward compatibility."""

from __future__ import annotations

import re
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, load_source
from matrix.derive.values import (
    DRIVER_BRANCH,
    FAMILY,
    RANGE,
    TEXT,
    VERSION,
    Parsed,
    branch_range,
    kept,
    listed,
    of_type,
    pattern,
    table,
)
from matrix.derive.writer import ProductDraft

FILE = "cuda_driver.yaml"
_DOTTED = r"\d+(?:\.\d+)+"
_CLASSES = {
    "NVIDIA Data Center GPUs": "datacenter",
    "select NGC Server Ready SKUs of RTX cards": "workstation",
    "Jetson boards": "jetson",
}
_CONDITIONAL = {"workstation"}
_SM_CONTRADICTIONS = {
    "first CUDA for sm_90": ["9.0"],
    "first CUDA for sm_50": ["5.0"],
    "first CUDA for sm_86": ["8.6"],
    "last CUDA for sm_72": ["7.2"],
    "first toolkit for 10.3 and 12.1": ["10.3", "12.1"],
}
_FAMILY_CONTRADICTIONS = {"CUDA 13 on Windows": ["13.x"]}


def derive() -> list[ProductDraft]:
    """Return cuda_driver_family, cuda_toolkit, forward_compat and the CUDA half of sm."""
    top = Entry(load_source(FILE), FILE)
    date = top.text("read_on")
    top.text("schema")
    families, toolkits, forward, sm = (
        ProductDraft(name, date, (FILE,)) for name in ("cuda_driver_family", "cuda_toolkit", "forward_compat", "sm")
    )
    _families(top, families)
    _toolkits(top, toolkits)
    _forward(top.group("forward_compatibility"), forward)
    _sm(top, sm)
    for raw in top.raw("contradictions"):
        _contradiction(raw, families, sm)
    top.done()
    return [families, toolkits, forward, sm]


def _contradiction(raw: dict[str, Any], families: ProductDraft, sm: ProductDraft) -> None:
    topic = raw["topic"]
    if topic in _SM_CONTRADICTIONS:
        sm.contradict(raw, _SM_CONTRADICTIONS[topic])
    elif topic in _FAMILY_CONTRADICTIONS:
        families.contradict(raw, _FAMILY_CONTRADICTIONS[topic])
    else:
        raise ShapeError(f"{FILE}: contradiction {topic!r} is attached to no row")


def _families(top: Entry, draft: ProductDraft) -> None:
    for entry in top.entries("family_minimum_drivers", "major"):
        row = draft.row(FAMILY(entry.text("major")))
        row.take(entry, "min_driver_linux_x86_64", RANGE, "min_driver")
        floor = row.take(entry, "min_driver_branch", RANGE)
        upper = entry.fact("upper_branch_minor_version")
        match = re.fullmatch(r"none|(<\d+) \(newer drivers through backward compatibility\)", upper.value)
        if not match:
            raise ShapeError(f"{upper.path}: {upper.value!r}")
        span = f"{floor.value},{match[1]}" if match[1] else floor.value
        row.put("minor_version_compat_range", kept(span, upper.value), upper)
        row.take(entry, "min_driver_windows", RANGE)
        entry.done()


def _toolkits(top: Entry, draft: ProductDraft) -> None:
    for entry in top.entries("toolkit_releases", "cuda"):
        row = draft.row(entry.text("cuda"))
        row.take(entry, "exists", of_type(bool))
        row.take(entry, "toolkit_driver_linux_x86_64", VERSION, "driver_bundled")
        row.take(entry, "minor_version_compat_min_driver_linux_x86_64", RANGE, "min_driver")
        entry.done()
    for entry in top.entries("versions_not_found", "cuda"):
        fact = entry.fact("finding")
        draft.note(f"{entry.text('cuda')}: {fact.value}", fact.source, fact.confidence)
        entry.done()


def _forward(group: Entry, draft: ProductDraft) -> None:
    _forward_rule(group, draft)
    for entry in group.entries("max_cuda_major_without_package", "driver_branch"):
        row = draft.row(entry.text("driver_branch"))
        row.take(entry, "max_cuda_major", pattern(r"(\d+)"))
        row.take(entry, "designation", TEXT)
        row.take(entry, "end_of_life", TEXT)
        entry.done()
    for entry in group.entries("data_center_branches_accepted_by_container_month", "containers"):
        _container_span(entry, draft)
    group.done()


def _forward_rule(group: Entry, draft: ProductDraft) -> None:
    row = draft.row("rule")
    row.take(group, "introduced_in_cuda", VERSION)
    row.take(group, "package_name", TEXT)
    classes = group.fact("applies_to_gpu_classes")
    try:
        names = [_CLASSES[text] for text in classes.value]
    except KeyError as error:
        raise ShapeError(f"{classes.path}: {error}") from error
    row.put("gpu_classes", kept([name for name in names if name not in _CONDITIONAL], classes.value), classes)
    row.put("gpu_classes_conditional", kept([name for name in names if name in _CONDITIONAL], classes.value), classes)
    excluded = table({"not in the list of classes": ["consumer"]})
    row.take(group, "geforce_and_other_consumer", excluded, "gpu_classes_excluded")
    row.take(group, "os", lambda text: [TEXT(text)])
    for key in ("purpose", "package_built_from", "jetson_orin_package", "k80_limit", "full_package_by_driver_table"):
        row.take(group, key, TEXT)
    row.take(group, "ngc_container_library_path", TEXT, "container_library_path")


def _base_driver(months: str, fact: Fact) -> Any:
    """Return floors by month: ``545``, ``560 (25.03), 575 (25.04-26.02)``, or none."""
    if re.fullmatch(r"\d+", fact.value):
        return kept({months: f">={fact.value}"}, fact.value)
    parts = re.findall(r"(\d+) \(([\d.-]+)\)(?:, |$)", fact.value)
    if parts and ", ".join(f"{driver} ({span})" for driver, span in parts) == fact.value:
        return kept({span: f">={driver}" for driver, span in parts}, fact.value)
    return table({"no number given; refers to the CUDA compatibility guide": Parsed(None, str(fact.value))})(fact.value)


def _cuda_span(text: str) -> Any:
    match = re.fullmatch(rf"({_DOTTED}) to ({_DOTTED})", text)
    if match:
        return kept(f">={match[1]},<={match[2]}", text)
    # A container states its full CUDA version; 12.4 leaves the update open.
    return kept(f"=={VERSION(text)}" if text.count(".") > 1 else f"=={text}.*", text)


def _container_span(entry: Entry, draft: ProductDraft) -> None:
    months = entry.text("containers")
    match = re.fullmatch(r"(\d\d\.\d\d)(?:-(\d\d\.\d\d))?", months)
    if not match:
        raise ShapeError(f"{entry.path}: expected a month or a span of months")
    row = draft.row(f"containers-{months}")
    base = entry.fact("base_driver")
    row.put("first_month", match[1], base, derived="from the name of the row")
    row.put("last_month", match[2] or match[1], base, derived="from the name of the row")
    row.put("cuda", _cuda_span(entry.text("cuda")), base)
    row.put("base_driver", _base_driver(months, base), base)
    row.take(entry, "accepted", listed(branch_range), "accepted_drivers")
    row.take(entry, "not_forward_compatible", listed(DRIVER_BRANCH), "rejected_branches")
    entry.done()


def _sm(top: Entry, draft: ProductDraft) -> None:
    for entry in top.entries("sm_by_toolkit", "sm"):
        numbers = entry.text("sm").removeprefix("sm_").split("/")
        architecture = entry.text("architecture")
        note = entry.text("note") if "note" in entry else ""
        first, last = entry.fact("first_cuda"), entry.fact("last_cuda")
        branch = entry.fact("last_driver_branch")
        entry.done()
        for number in numbers:
            row = draft.row(f"{number[:-1]}.{number[-1]}")
            if architecture == "unknown":
                row.put("architecture", None, Fact(None, first.source, "unknown", "", entry.path))
            else:
                row.put("architecture", architecture, Fact(architecture, first.source, "derived", "", entry.path))
            row.parse("first_cuda", _noted(first, note), VERSION)
            _last_cuda(row, last)
            _last_branch(row, branch)
    targets: dict[str, dict[str, str]] = {}
    facts: dict[str, Fact] = {}
    for entry in top.entries("suffixed_targets_first_cuda", "target"):
        target, fact = entry.text("target"), entry.fact("first_cuda")
        entry.done()
        version = f"{target[3:-2]}.{target[-2]}"
        targets.setdefault(version, {})[target] = VERSION(fact.value)
        facts[version] = fact
    for version, known in targets.items():
        draft.find(version).put("suffixed_targets", known, facts[version])


def _noted(fact: Fact, note: str) -> Fact:
    text = "; ".join(filter(None, (fact.note, note)))
    return Fact(fact.value, fact.source, fact.confidence, text, fact.path)


def _last_cuda(row: Any, fact: Fact) -> None:
    match = re.fullmatch(rf"({_DOTTED})(?: \(renamed sm_\d+ in [\d.]+\))?|ongoing(?: \(.+\))?", fact.value)
    if not match:
        raise ShapeError(f"{fact.path}: {fact.value!r}")
    ongoing = match[1] is None
    row.put("last_cuda", kept(match[1], fact.value) if match[1] != fact.value else match[1], fact)
    row.put("cuda_ongoing", ongoing, fact)


def _last_branch(row: Any, fact: Fact) -> None:
    if not fact.known:
        row.put("last_driver_branch", None, fact)
        row.put("driver_ongoing", None, fact)
    elif fact.value == "ongoing":
        row.put("last_driver_branch", Parsed(None, "ongoing"), fact)
        row.put("driver_ongoing", True, fact)
    else:
        row.put("last_driver_branch", DRIVER_BRANCH(fact.value), fact)
        row.put("driver_ongoing", False, fact)
        after = int(row.value("last_driver_branch")) + 1
        row.put("driver_range", f"<{after}", fact, derived="all branches up to the last one")


def link_sm(toolkits: ProductDraft, sm: ProductDraft) -> None:
    """Add what follows from both: the CUDA range of each capability, and the capabilities of each toolkit."""
    from pytest_trtcheck.model.versions import DottedVersion, VersionRange

    releases = [DottedVersion.parse(row.version) for row in toolkits.rows]
    for row in sm.rows:
        first, last = row.value("first_cuda"), row.value("last_cuda")
        fact = row.as_fact("first_cuda", "last_cuda")
        if first is None or (last is None and not row.value("cuda_ongoing")):
            continue
        span = f">={first}"
        if last is not None:
            lasting = DottedVersion.parse(last)
            after = min(release for release in releases if release.parts[:2] > lasting.parts[:2])
            span += f",<{after.major_minor}"
        row.put("cuda_range", span, fact, derived="first_cuda, and the toolkit release after last_cuda")
    known = [(row, VersionRange.parse(row.value("cuda_range"))) for row in sm.rows if "cuda_range" in row.cells]
    open_ones = ", ".join(row.version for row in sm.rows if "cuda_range" not in row.cells)
    for toolkit, release in zip(toolkits.rows, releases, strict=True):
        names = [row.version for row, span in known if span.admits(release)]
        how = f"cuda_range of product sm; not decided for {open_ones}"
        fact = Fact(None, "matrix/rows/sm.json (cells first_cuda and last_cuda)", "derived", "", toolkit.id)
        toolkit.put("compute_capabilities", sorted(names, key=_order), fact, derived=how)


def _order(capability: str) -> tuple[int, ...]:
    return tuple(map(int, capability.split(".")))
