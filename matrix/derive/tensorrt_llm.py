"""TensorRT-LLM releases and pre-releases."""

from __future__ import annotations

import re
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, joined, load_source, read_fact
from matrix.derive.values import (
    BOOL,
    CAPABILITIES,
    DATE,
    DPKG,
    PACKAGE,
    TEXT,
    TEXTS,
    VERSION,
    Parsed,
    capability,
    capability_remark,
    either,
    kept,
    listed,
    of_type,
    pattern,
    table,
)
from matrix.derive.writer import ProductDraft, RowDraft

FILE = "trtllm_releases.yaml"
_CXX11_OLD = "pre-cxx11"
_ABI_WHEEL = {
    _CXX11_OLD: "off",
    f"{_CXX11_OLD} (_GLIBCXX_USE_CXX11_ABI=0)": "off",
    "cxx11": "on",
    "cxx11 (built against PyTorch >= 2.7.0)": "on",
}
_FOLLOWS = "follows the torch found at configure time"
_ABI_NGC = {
    "cxx11": "on",
    "cxx11; build TensorRT-LLM from source there": "on",
    f"{_FOLLOWS} (cxx11 in NGC images)": "on",
    _FOLLOWS: Parsed(None, _FOLLOWS),
}
_PLATFORMS = {
    "Linux": "linux",
    "Linux x86_64": "linux_x86_64",
    "Linux aarch64": "linux_aarch64",
    "Windows": "windows",
}
_METADATA = {
    "Linux pins": "linux",
    "no dependencies listed": "none",
    "Windows pins (pywin32 present)": "windows",
}
_BERT = {
    "max_input_length: Tensor = None is the last parameter": True,
    "no max_input_length parameter": False,
}
_BACKENDS = {
    "tensorrt": "tensorrt",
    "pytorch": "pytorch",
    "pytorch (TensorRT engine flow removed)": "pytorch",
}
_NO_ENGINE = "pytorch (TensorRT engine flow removed)"
_BLACKWELL_TARGETS = "80,86,89,90; plus 100,120 with CUDA >= 12.7; family targets with CUDA >= 12.9"
_RUBIN_TARGETS = "default list gains 107 with CUDA >= 13.4"
_ADDED = {
    "DGX Spark (121) beta; 103 and 120 coverage extended": "12.1",
    "90 on GH200 (aarch64)": "9.0",
}
_CONTRADICTIONS: dict[str, list[str]] = {
    "C01": ["0.11.0"],
    "C02": ["0.6.1"],
    "C03": ["0.8.0"],
    "C04": ["0.10.0"],
    "C05": [
        *("0.5.0", "0.6.1", "0.7.1", "0.8.0", "0.9.0", "0.11.0", "0.14.0", "0.16.0", "0.17.0", "0.17.0.post1"),
        *("1.3.0rc0", "1.3.0rc1", "1.3.0rc2", "1.3.0rc3"),
    ],
    "C06": ["0.15.0", "0.16.0"],
    "C07": ["0.5.0", "0.6.1", "0.7.1", "0.8.0", "0.9.0", "0.10.0", "0.11.0", "0.12.0", "0.13.0", "0.14.0"],
    "C08": ["0.13.0", "0.14.0"],
    "C09": ["0.11.0", "0.18.0", "0.18.1", "0.18.2", "0.19.0", "1.1.0"],
    "C10": ["0.21.0"],
    "C11": ["0.20.0"],
    "C12": ["1.0.0"],
    "C13": ["1.1.0"],
    "C14": ["1.2.0", "1.2.1"],
    "C15": ["1.2.0", "1.2.1"],
    "C16": ["1.3.0rc27", "1.3.0rc28", "1.3.0rc29", "1.4.0rc0", "1.4.0rc1"],
    "C17": ["0.10.0", "0.16.0"],
    "C18": ["0.20.0", "0.21.0", "1.0.0"],
    "C19": ["0.18.0"],
    "C20": ["0.17.0", "0.17.0.post1"],
    "C21": ["0.6.1", "0.7.1", "0.9.0", "0.19.0", "0.21.0"],
    "C22": ["0.16.0"],
    "C23": [],
    "C24": ["0.18.2"],
    "C25": [
        *("0.5.0", "0.6.1", "0.7.1", "0.8.0", "0.9.0", "0.10.0", "0.11.0", "0.12.0", "0.13.0", "0.14.0", "0.15.0"),
    ],
    "C26": ["0.21.0"],
    "C27": ["1.1.0"],
}


def derive() -> ProductDraft:
    """Return product tensorrt_llm."""
    top = Entry(load_source(FILE), FILE)
    top.text("schema")
    draft = ProductDraft("tensorrt_llm", top.text("read_on"), (FILE,))
    for note in top.raw("notes"):
        draft.note(note)
    for group in ("releases", "prereleases"):
        for entry in top.entries(group, "version"):
            _release(entry, draft.row(entry.text("version")), prerelease=group == "prereleases")
    _uploads(top.group("prerelease_upload_dates"), draft)
    for raw in top.raw("contradictions"):
        if raw["id"] not in _CONTRADICTIONS:
            raise ShapeError(f"{FILE}: contradiction {raw['id']} is attached to no row")
        draft.contradict(raw, _CONTRADICTIONS[raw["id"]])
    top.done()
    return draft


def _uploads(group: Entry, draft: ProductDraft) -> None:
    """Add a row for each pre-release of which only the upload day is known."""
    for version in group.keys():  # noqa: SIM118
        fact = group.fact(version)
        known = next((row for row in draft.rows if row.version == version), None)
        if known is None:
            row = draft.row(version)
            row.put("prerelease", True, fact, derived="from the version")
            row.parse("index_upload_date", fact, DATE)
        elif known.value("index_upload_date") != fact.value:
            raise ShapeError(f"{fact.path}: {fact.value} here, {known.value('index_upload_date')} in the row")
    group.done()


def _release(entry: Entry, row: RowDraft, *, prerelease: bool) -> None:
    date = entry.fact("release_date")
    row.put("prerelease", prerelease, date, derived="from the version")
    row.parse("release_date", date, DATE)
    row.take(entry, "index_upload_date", DATE)
    for key, parser in (("git_commit", TEXT), ("yanked", BOOL)):
        if key in entry:
            row.take(entry, key, parser)
    _build(entry, row)
    _images(entry, row)
    _targets(entry, row)
    _interface(entry, row)
    pins = entry.group("pins")
    for name in pins.keys():  # noqa: SIM118
        row.take(pins, name, _pin, f"pin_{name.replace('-', '_')}")
    pins.done()
    changes = [read_fact(raw, f"{entry.path}.breaking_changes") for raw in entry.raw("breaking_changes")]
    if changes:
        row.put("breaking_changes", [TEXT(fact.value) for fact in changes], joined(changes))
    entry.done()


def _build(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "cuda_toolkit", VERSION, "cuda")
    row.take(entry, "cudnn", DPKG)
    tensorrt = entry.fact("tensorrt")
    used = tensorrt.value != "not a dependency"
    row.parse("tensorrt", tensorrt, VERSION if used else lambda text: Parsed(None, text))
    row.put("uses_tensorrt", used, tensorrt, derived="from tensorrt")
    _nccl(entry.fact("nccl"), row)
    row.take(entry, "cublas", DPKG)
    row.take(entry, "nvrtc", DPKG)
    row.take(entry, "cuda_bundled_driver", VERSION, "driver_bundled")
    row.take(entry, "min_driver", TEXT)
    row.take(entry, "torch_public", _torch, "torch")
    row.take(entry, "torch_ngc_build", PACKAGE, "torch_ngc")
    _python(entry.fact("python"), row)
    row.take(entry, "index_metadata_platform", table(_METADATA))
    row.take(entry, "os", pattern(r"(Ubuntu \d\d\.\d\d)(?: \(nvidia/cuda:[\w.-]+\))?"))
    row.take(entry, "os_build_images", lambda text: text.split(", "))
    row.take(entry, "platforms", _platforms)


def _nccl(fact: Fact, row: RowDraft) -> None:
    if fact.known and fact.value.startswith(">="):
        row.put("nccl", Parsed(None, "the sources give a range"), fact)
        row.put("nccl_range", fact.value, fact)
    else:
        row.parse("nccl", fact, DPKG)


def _torch(text: str) -> Any:
    return Parsed(None, f"range {text}") if re.fullmatch(r">=[\da-z.]+,<=[\da-z.]+", text) else VERSION(text)


def _python(fact: Fact, row: RowDraft) -> None:
    match = re.fullmatch(
        r"(?:(3\.[\d.]+(?:, 3\.[\d.]+)*) \((?:classifiers?|badge)\))(?:; badges 3\.[\d.]+ and 3\.[\d.]+)?"
        r"; (?:setup\.py|requires-python) (>=3\.\d+, ?<4)",
        fact.value,
    )
    if not match:
        raise ShapeError(f"{fact.path}: {fact.value!r}")
    versions = [".".join(text.split(".")[:2]) for text in match[1].split(", ")]
    row.put("python", kept(versions, fact.value), fact)
    row.put("requires_python", match[2].replace(" ", ""), Fact(None, fact.source, fact.confidence, "", fact.path))


def _platforms(text: str) -> Any:
    plain = text.removesuffix(" (Windows deprecated)")
    try:
        return kept([_PLATFORMS[name] for name in plain.split(", ")], text)
    except KeyError as error:
        raise ShapeError(f"expected platforms out of {sorted(_PLATFORMS)}, found {text!r}") from error


def _images(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "base_pytorch_image", pattern(r"nvcr\.io/nvidia/pytorch:(\S+)", note=False), "base_pytorch_tag")
    base = pattern(r"nvcr\.io/nvidia/tritonserver:(\S+)", note=False)
    row.take(entry, "triton_backend_build_base", base, "triton_build_base_tag")
    row.take(entry, "official_image", TEXTS, "images")
    month = pattern(r"nvcr\.io/nvidia/tritonserver:(\d\d\.\d\d)-trtllm-python-py3", note=False)
    row.take(entry, "triton_containers", lambda value: [month(text) for text in value])


def _targets(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "sm_supported", CAPABILITIES)
    row.take(entry, "sm_compiled_by_default", lambda text: _compiled(text, row.value("cuda")), "sm_compiled")
    row.take(entry, "sm_added", listed(_added))
    row.take(entry, "sm_dropped", CAPABILITIES)
    row.take(entry, "abi_pip_wheel", table(_ABI_WHEEL), "cxx11_abi_wheel")
    row.take(entry, "abi_ngc_container", table(_ABI_NGC), "cxx11_abi_ngc")
    if "blackwell_pip_note" in entry:
        told = table({"pip wheel not supported on Blackwell in 0.17": False})
        row.take(entry, "blackwell_pip_note", told, "wheel_supports_blackwell")


def _added(text: str) -> Any:
    return kept(_ADDED[text], text) if text in _ADDED else capability_remark(text)


def _compiled(text: str, cuda: str) -> Any:
    if re.fullmatch(r"\d+(,\d+)*", text):
        return [capability(target) for target in text.split(",")]
    if text == _BLACKWELL_TARGETS:
        if tuple(map(int, cuda.split(".")[:2])) < (12, 7):
            raise ShapeError(f"{text!r} with CUDA {cuda}")
        return kept(["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"], text)
    if text == _RUBIN_TARGETS:
        return Parsed(None, f"{text}; the list before it is not known")
    raise ShapeError(f"expected compile targets, found {text!r}")


def _interface(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "cli_entry_points", TEXTS, "cli")
    row.take(entry, "legacy_examples_build_py", of_type(int), "examples_build_py")
    module = either(pattern(r"(tensorrt_llm\.\w+)"), table({"absent": Parsed(False, "absent")}))
    row.take(entry, "high_level_api_package", module, "llm_api_module")
    backend = row.take(entry, "default_backend", table(_BACKENDS))
    row.put("engine_backend", backend.value != _NO_ENGINE, backend, derived="from default_backend")
    row.take(entry, "bert_attention_max_input_length", table(_BERT))


_SPECIFIER = re.compile(
    r"(?:\[(?P<extra>\w+)\] )?(?P<spec>(?:[<>=~!]=?|===)\s?[\w.*]+(?:,(?:[<>=~!]=?|===)\s?[\w.*]+)*)(?P<marker>\s?;.+)?"
)
_PROSE_PINS = {
    "any": Parsed("", "any version"),
    "not listed": False,
    "not listed (predecessor nvidia-ammo is)": Parsed(False, "the predecessor nvidia-ammo is listed"),
    "10.8 level": Parsed(None, "source text: 10.8 level"),
    "0.23 (Windows 0.17)": Parsed(None, "source text: 0.23 (Windows 0.17)"),
}


def _pin(text: str) -> Any:
    """Return the specifier; several requirement lines (``a | b``) must all hold."""
    if text in _PROSE_PINS:
        return _PROSE_PINS[text]
    specifiers = []
    for line in text.split(" | "):
        match = _SPECIFIER.fullmatch(line)
        if not match:
            raise ShapeError(f"expected a requirement, found {text!r}")
        specifiers.append(match["spec"].replace(" ", ""))
    specifier = ",".join(dict.fromkeys(specifiers))
    return specifier if specifier == text else kept(specifier, text)
