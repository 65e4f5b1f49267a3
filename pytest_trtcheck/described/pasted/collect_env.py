"""``python -m torch.utils.collect_env`` and ``vllm collect-env``, which extends it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_trtcheck.described.pasted import pip_list
from pytest_trtcheck.described.pasted.gpus import GPU_LINE, note_gpus
from pytest_trtcheck.described.pasted.notes import Line, Notes

_V = r"(\d[\w.+!-]{0,60})"
# vLLM pads the names: "PyTorch version              : 2.7.0+cu126".
_FIELDS = tuple(
    (key, re.compile(rf"\s*{pattern}"))
    for key, pattern in (
        ("torch", rf"PyTorch version\s*:\s*{_V}"),
        ("torch_cuda", rf"CUDA used to build PyTorch\s*:\s*{_V}"),
        # What the script calls runtime version is the release that nvcc prints.
        ("cuda_toolkit", rf"CUDA runtime version\s*:\s*{_V}"),
        ("driver", rf"Nvidia driver version\s*:\s*{_V}"),
        ("glibc", rf"Libc version\s*:\s*glibc-{_V}"),
        ("python", r"Python version\s*:\s*(\d+\.\d+(?:\.\d+)?)"),
        ("os", r"OS\s*:\s*(.{2,80}?)\s*(?:\((?:x86_64|aarch64|arm64|ppc64le|64-bit|\S{1,20})\))?$"),
        ("arch", r"OS\s*:\s*.{2,80}\((x86_64|aarch64|arm64|ppc64le)\)$"),
        ("wsl_kernel", r"Python platform\s*:\s*Linux-(\S{1,80}?microsoft\S{0,40}?WSL2?)(?:-|\s|$)"),
        ("vllm", rf"vLLM Version\s*:\s*{_V}"),
    )
)
_PIP = re.compile(r"\s*\[pip3?\]\s+(\S+)\s*")
_CONDA = re.compile(r"\s*\[conda\]\s+(\S{1,80})\s+(\d\S{0,60})(?:\s.*)?")
_CUDNN = re.compile(r"\s*(?:cuDNN version\s*:\s*)?(?:/\S*)?/libcudnn\.so\.(\d+\.\d+\.\d+)\s*")
_SIGNS = re.compile(r"^[>\s]*(?:PyTorch version\s*:|CUDA used to build PyTorch\s*:)", re.MULTILINE)


def recognises(text: str) -> bool:
    """Tell whether the text has the output of such a script in it."""
    return len(_SIGNS.findall(text)) >= 2


def read(lines: Sequence[Line]) -> Notes:
    """Return torch and what the script found around it."""
    notes = Notes()
    for line in lines:
        for key, pattern in _FIELDS:
            match = pattern.match(line.text)
            if match:
                notes.note(key, match[1], line)
    gpus = [(line, match[2].strip()) for line in lines if (match := GPU_LINE.fullmatch(line.text))]
    note_gpus(notes, gpus)
    notes.merge(pip_list.notes_of(_packages(lines)))
    _note_cudnn(notes, lines)
    return notes


def _packages(lines: Sequence[Line]) -> dict[str, tuple[str, Line]]:
    pip = [Line(line.number, match[1]) for line in lines if (match := _PIP.fullmatch(line.text))]
    conda = [Line(line.number, f"{m[1]}=={m[2]}") for line in lines if (m := _CONDA.fullmatch(line.text))]
    packages = pip_list.packages_of([*pip, *conda])
    # The script asks torch itself, and a torch that is imported is not always the one that pip lists.
    packages.pop("torch", None)
    return packages


def _note_cudnn(notes: Notes, lines: Sequence[Line]) -> None:
    """Note the cuDNN of the system only for torch builds that use it: those of NGC images.

    The script guesses it from the loader's folders; torch from the package index loads the cuDNN of its own wheel.
    """
    for line in lines:
        match = _CUDNN.fullmatch(line.text)
        if match and "cudnn" not in notes.values:
            if re.search(r"a0\+|\.nv\d|\+nv\d", str(notes.values.get("torch", ""))):
                notes.note("cudnn", match[1], line)
            else:
                notes.leave_out(line, f"cuDNN {match[1]} of the system; torch may load another one")
            return
