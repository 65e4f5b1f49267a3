"""The one report behind the golden files: every outcome and reason, plain entries first, hostile ones after them."""

from __future__ import annotations

from pytest_trtcheck.model.difference import Aspect, Change, Difference, Effect
from pytest_trtcheck.model.facts import (
    Copy,
    Distribution,
    Fact,
    Gpu,
    ImportOutcome,
    ImportStatus,
    Stack,
    State,
)
from pytest_trtcheck.model.finding import Finding, Severity, Source, Verdict
from pytest_trtcheck.model.report import (
    CheckText,
    Comparison,
    Isolation,
    Location,
    MatrixIdentity,
    Measurement,
    Outcome,
    Reason,
    Result,
    RunReport,
    RunVerdict,
    StackRow,
    SupportCell,
    Waiver,
)

STARTED = "2026-11-20T10:00:00+00:00"

HOSTILE = (
    "<script>alert(1)</script> | `code` ``` **bold** _it_ [a](b) ]]> &amp; # $x$"
    " \x1b[31mred\x1b[0m \x1b]0;title\x07 nul\x00 bell\x07 \u202eltr\u200b \udcff \ufffe\r\nnext\x85line"
)
"""What may not break any format: tags, tables, code, the end of CDATA, escapes, controls, marks, surrogates."""

MEGABYTE = "first line\n" + "0123456789 <&>|` é\n" * 50_000 + "last line: CUDA error 35"

_CUDNN_9 = "/usr/lib/python3.10/site-packages/nvidia/cudnn/lib/libcudnn.so.9"
_SOURCES = {
    "driver": Source("CUDA 13.0 release notes, table 3", "2026-11-18", "cuda-13.0-driver"),
    "elf": Source("libnvinfer.so.8, NEEDED", "", "", "measured"),
    "torch": Source("pytorch/pytorch at 1a2b3c4, .ci/docker/build.sh", "2026-11-12", "torch-2.13", "derived"),
}


def sample_stack() -> Stack:
    """Return the stack of the report."""
    facts = (
        Fact("driver", State.FOUND, "550.54.14", "/proc/driver/nvidia/version", "text"),
        Fact(
            "cudnn",
            State.FOUND,
            "9.24.0.43",
            _CUDNN_9,
            "wheel metadata",
            copies=(
                Copy(
                    _CUDNN_9,
                    "9.24.0.43",
                    "wheel metadata",
                    "site-packages/nvidia",
                    "libcudnn.so.9",
                    ("libc.so.6",),
                ),
                Copy("/usr/lib/x86_64-linux-gnu/libcudnn.so.8.9.7", None, "SONAME", note="cut short"),
            ),
            chosen=0,
            why_chosen="first in the RUNPATH of torch",
            details={"majors": [8, 9], "bundled": True, "score": 0.5, "nested": {"none": None}},
        ),
        Fact("tensorrt_llm", State.ABSENT, reason="no distribution, no library"),
        Fact("nccl", State.UNREADABLE, where=f"/opt/{HOSTILE}", reason=HOSTILE),
    )
    return Stack(
        "host",
        "this machine",
        {fact.key: fact for fact in facts},
        (Gpu(0, "NVIDIA H200", "GPU-0001", "9.0", 150_754_820_096, None, "00000000:19:00.0", "disabled"),),
        (Distribution("tensorrt", "8.6.0", "/site/tensorrt-8.6.0.dist-info", requires=("nvidia-cudnn-cu12",)),),
        (
            ImportOutcome(
                "tensorrt",
                "tensorrt",
                ImportStatus.MISSING_LIBRARY,
                1.25,
                "libcudnn.so.8: cannot open shared object file",
                "import",
                "libcudnn.so.8",
            ),
        ),
        {"libraries": 0.041, "distributions": 0.012},
    )


def sample_table() -> tuple[StackRow, ...]:
    """Return the stack table, one row per kind of state."""
    return (
        StackRow("gpu", "NVIDIA H200", "NVML", "", "compatible"),
        StackRow("driver", "550.54.14", "/proc/driver/nvidia/version", ">=580.65.06", "incompatible"),
        StackRow(
            "cuda_runtime",
            "13.0.96",
            "/usr/lib/python3.10/site-packages/nvidia/cu13/lib/libcudart.so.13",
            "driver >=580.65.06",
            "incompatible",
        ),
        StackRow("cudnn", "9.24.0.43", _CUDNN_9, "SONAME libcudnn.so.8", "incompatible"),
        StackRow("tensorrt", "8.6.0", "/usr/lib/python3.10/site-packages/tensorrt", "", "incompatible"),
        StackRow("torch", "2.13.0+cu130", "/usr/lib/python3.10/site-packages/torch", "CUDA 13.0", "compatible"),
        StackRow("transformers", "5.1.0", "/usr/lib/python3.10/site-packages/transformers", "", "unknown"),
        StackRow("openmpi", "present, version unknown", "/usr/bin/mpirun", "", "warning"),
        StackRow("python", "3.10.14", "/usr/bin/python3.10", "3.8 to 3.11", "compatible"),
        StackRow("nccl", "unreadable", f"/opt/{HOSTILE}", HOSTILE, "unknown"),
        StackRow("triton_server", "absent", "", "25.08-py3", "unknown"),
        StackRow("tensorrt_llm", "absent", "", "", ""),
        StackRow("vllm", "absent", "", "", ""),
        StackRow("flash_attn", "absent", "", "", "compatible"),
    )


def sample_findings() -> tuple[Finding, ...]:
    """Return findings of every verdict and severity."""
    return (
        Finding(
            "TRC-DRV-001",
            "torch",
            Verdict.INCOMPATIBLE,
            Severity.ERROR,
            "The driver is older than the CUDA runtime in torch needs",
            ("driver",),
            "driver >=580.65.06 for CUDA 13.0",
            "550.54.14 (/proc/driver/nvidia/version)",
            ("driver", "torch"),
            _SOURCES["driver"],
            "apt-get install --only-upgrade cuda-drivers-580\nor take a torch built for CUDA 12.6",
            "No forward compatibility package is in use, and minor-version compatibility ends at a major.",
        ),
        Finding(
            "TRC-DNN-002",
            "tensorrt",
            Verdict.INCOMPATIBLE,
            Severity.ERROR,
            "TensorRT asks for a cuDNN major that is not there",
            ("cudnn", "tensorrt"),
            "libcudnn.so.8",
            f"cuDNN 9.24.0.43, libcudnn.so.9 ({_CUDNN_9})",
            ("cudnn", "tensorrt"),
            _SOURCES["elf"],
            "pip install 'nvidia-cudnn-cu12<9'",
        ),
        Finding(
            "TRC-PIN-001",
            "transformers",
            Verdict.UNKNOWN,
            Severity.WARNING,
            "Which transformers this TensorRT-LLM was made for",
            (),
            "a TensorRT-LLM release row",
            "transformers 5.1.0, TensorRT-LLM absent",
            ("transformers", "tensorrt_llm"),
            Source("TensorRT-LLM release notes", "2026-11-20"),
            detail="Without TensorRT-LLM there is no pin to hold it against.",
        ),
        Finding(
            "TRC-DUP-001",
            "cudnn",
            Verdict.COMPATIBLE,
            Severity.WARNING,
            "Two majors of cuDNN are on the search path",
            ("cudnn",),
            "one major",
            "8.9.7 and 9.24.0.43",
            ("cudnn",),
            _SOURCES["elf"],
            "remove libcudnn8 unless TensorRT 8 is meant to run here",
        ),
        Finding(
            "TRC-SMC-001",
            "torch",
            Verdict.COMPATIBLE,
            Severity.INFO,
            "torch has code for this GPU",
            (),
            "sm_90 or PTX below it",
            "sm_90",
            ("sm", "torch"),
            _SOURCES["torch"],
        ),
        Finding(
            "TRC-HST-001",
            f"hostile|{HOSTILE}",
            Verdict.INCOMPATIBLE,
            Severity.ERROR,
            HOSTILE,
            (HOSTILE,),
            HOSTILE,
            HOSTILE,
            (HOSTILE,),
            Source(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
            f"```\n{HOSTILE}\n````\n</details>",
            HOSTILE,
        ),
    )


def sample_results() -> tuple[Result, ...]:
    """Return results of every outcome and, for what did not run, every reason."""
    findings = sample_findings()
    outcomes = {
        Verdict.COMPATIBLE: (Outcome.PASSED, None),
        Verdict.INCOMPATIBLE: (Outcome.FAILED, None),
        Verdict.UNKNOWN: (Outcome.NOT_RUN, Reason.UNDECIDED),
    }
    of_findings = [
        Result(
            finding.key,
            finding.id,
            "stack",
            f"suites/stack/test_findings.py::test_finding[{finding.key}]",
            *outcomes[finding.verdict],
            message=f"{finding.title}: found {finding.found}, expected {finding.expected}",
            seconds=0.0004,
            started=STARTED,
        )
        for finding in findings
    ]
    of_reasons = [
        Result(
            f"TRC-ATT-001-{reason.value}",
            "TRC-ATT-001",
            "attention",
            f"suites/attention/test_attention.py::test_case[{reason.value}]",
            Outcome.NOT_RUN,
            reason,
            message="" if index % 2 else f"example of {reason.value}",
        )
        for index, reason in enumerate(Reason)
    ]
    node = "suites/attention/test_attention.py::test_case"
    others = [
        Result(
            "TRC-ATT-002-bf16-hd128",
            "TRC-ATT-002",
            "attention",
            node,
            Outcome.PASSED,
            seconds=1.5,
            started=STARTED,
            worker="gw0",
            provider="torch_flash",
            features=("bf16", "context", "d128"),
            comparison=Comparison(
                0.0021,
                0.0132,
                "root mean square",
                ("sequence", "query", "head", "channel"),
                (0, 17, 3, 5),
                -1.25,
                -1.2421875,
            ),
            measurements=(
                Measurement("throughput", 310.0, "tokens/s", "batch size", 1.0),
                Measurement("throughput", 1043.75, "tokens/s", "batch size", 4.0),
                Measurement("near_ties", 2.0, "tokens"),
            ),
        ),
        Result(
            "TRC-ATT-002-fp16-hd64",
            "TRC-ATT-002",
            "attention",
            node,
            Outcome.PASSED,
            text="captured output\n",
            seconds=0.25,
        ),
        Result(
            "TRC-ATT-002-fp8_e4m3",
            "TRC-ATT-002",
            "attention",
            node,
            Outcome.FAILED,
            message="largest element no number, allowed 0.02; worst at row 3: no number, expected 0.5",
            text="Traceback …\nassert 0.5 < 0.02",
            provider=HOSTILE,
            features=("fp8_kv", HOSTILE),
            comparison=Comparison(None, 0.02, "largest element", ("row",), (3,), 0.5, None),
            measurements=(Measurement(HOSTILE, -1e-9, HOSTILE, HOSTILE, 0.5),),
        ),
        Result(
            "TRC-ATT-003-crash",
            "TRC-ATT-003",
            "attention",
            node,
            Outcome.ERROR,
            message="crash: SIGSEGV",
            text=MEGABYTE,
            seconds=12.0,
            started="2026-11-20T10:00:01.500+00:00",
            worker="gw1",
        ),
        Result(
            "TRC-ATT-002-fp16-hd256",
            "TRC-ATT-002",
            "attention",
            node,
            Outcome.FAILED,
            message="root mean square 0.02, allowed 0.01; worst at row 3: found 0.52, expected 0.5",
            seconds=0.25,
            provider="torch_cudnn",
            waiver=sample_waivers()[0],
        ),
        Result(
            f"TRC-ATT-003-{HOSTILE}",
            "TRC-ATT-003",
            "attention",
            node,
            Outcome.ERROR,
            message=HOSTILE,
            waiver=sample_waivers()[1],
        ),
        Result(
            f"TRC-ATT-004-{HOSTILE}",
            "TRC-ATT-004",
            "attention",
            node,
            Outcome.ERROR,
            message=HOSTILE,
            text=HOSTILE,
        ),
        Result(
            "unfamiliar",
            "unfamiliar",
            "A site's own|suite",
            "site/test_own.py::test_it",
            Outcome.FAILED,
            message=MEGABYTE,
        ),
    ]
    return (*of_findings, *of_reasons, *others)


def sample_waivers() -> tuple[Waiver, ...]:
    """Return a plain waiver and a hostile one."""
    return (
        Waiver(
            "TRC-ATT-002-fp16-hd256",
            "cuDNN 9.24 rounds head size 256 once more than before; the model in use has 128",
            "serving@example.org",
            "2026-12-31",
            "https://example.org/tickets/7",
            gpu="NVIDIA H*",
            provider="torch_cudnn",
            versions={"cudnn": "==9.24.*"},
        ),
        Waiver(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
    )


def sample_difference() -> Difference:
    """Return a difference with a change of each effect, and a hostile one."""
    return Difference(
        "baselines/25.10.json",
        "this run",
        31,
        (
            Change(
                Aspect.FINDING, "TRC-DRV-001-torch", "compatible", "incompatible", Effect.REGRESSION,
                "The driver is older than the CUDA runtime in torch needs: found 550.54.14",
            ),
            Change(Aspect.TIME, "TRC-ATT-002-bf16-hd128", "0.50 s", "1.50 s", Effect.REGRESSION),
            Change(Aspect.RESULT, HOSTILE, HOSTILE, HOSTILE, Effect.REGRESSION, HOSTILE),
            Change(Aspect.RESULT, "TRC-ATT-002-fp16-hd64", "failed", "passed", Effect.IMPROVEMENT),
            Change(Aspect.VERSION, "PyTorch", "2.12.1+cu129", "2.13.0+cu130", Effect.CHANGE, "newer"),
        ),
        ("the runs have different levels: standard and quick", HOSTILE),
    )  # fmt: skip


def sample_report() -> RunReport:
    """Return the report; the same at every call."""
    return RunReport(
        "0.1.0",
        STARTED,
        14.5,
        "auto",
        "quick",
        "error",
        MatrixIdentity("2026-11-18", "0a1b2c3d4e5f", 412, ("/etc/trtcheck: adds 2 rows, overrides cuda-13.0-driver",)),
        sample_stack(),
        sample_table(),
        sample_findings(),
        sample_results(),
        RunVerdict.REJECTED,
        (
            "TRC-DRV-001-torch: The driver is older than the CUDA runtime in torch needs",
            "TRC-DNN-002-tensorrt: TensorRT asks for a cuDNN major that is not there",
            f"hostile: {HOSTILE}",
        ),
        ("Triton Inference Server: not installed", "engines: no builder library", HOSTILE),
        1,
        support=(
            SupportCell("attention", "torch_flash", "bf16", "works", passed=1),
            SupportCell(
                "attention", "torch_flash", "context", "fails", passed=2, failed=1, words="TRC-ATT-001-x: differs"
            ),
            SupportCell("attention", "torch_flash", "soft_cap", "not supported here", words="takes no soft cap"),
            SupportCell("attention", HOSTILE, HOSTILE, "refused", refused=1, words=HOSTILE),
        ),
        seed=20261120,
        isolation=Isolation(
            "workers", ("gpu0", "cpu"), 1, 16, ("gw1 ended in TRC-ATT-003-crash: crash: SIGSEGV", HOSTILE)
        ),
        checks=(
            CheckText(
                "TRC-ATT-002",
                "Attention matches the reference",
                "Is every row as near to the reference as its precision allows?",
                "Run the case alone, and report it to the library.",
                "https://example.org/attention, section 3",
            ),
            CheckText("TRC-HST-001", HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        ),
        locations=(Location("", "docker/Dockerfile", 3), Location("driver", f"docker/{HOSTILE}", 7)),
        waivers=sample_waivers(),
        difference=sample_difference(),
        merged=("shard-1", HOSTILE),
        redacted=True,
    )
