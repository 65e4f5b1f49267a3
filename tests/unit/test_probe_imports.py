"""Import health with real children: crash, hang, early exit, and real words of the real loader."""

from __future__ import annotations

import ctypes.util
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.model.facts import Distribution, ImportOutcome, ImportStatus
from pytest_trtcheck.probe.child import ChildEnd
from pytest_trtcheck.probe.imports import ImportRunner, ImportTask, plan_imports, read_end
from pytest_trtcheck.probe.needers import find_needer
from pytest_trtcheck.probe.root import Root
from tests.native import compile_library, needs_gcc

S = ImportStatus


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that the children import from."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def import_one(module: str, *, touch: str = "", deadline_seconds: float = 20) -> ImportOutcome:
    runner = ImportRunner([ImportTask("x", module, "dist", touch)], deadline_seconds=deadline_seconds)
    runner.start()
    try:
        return runner.outcome("x")
    finally:
        runner.close()


def extension(path: Path, body: str = "", flags: tuple[str | Path, ...] = ()) -> Path:
    """Compile an extension module that calls what ``body`` says when it is initialised."""
    name = path.name.partition(".")[0]
    source = f"{body}\nvoid *PyInit_{name}(void) {{ return 0; }}\n"
    return compile_library(path, source, flags)


def dist(name: str) -> Distribution:
    return Distribution(name, "1.0", f"/site/{name}.dist-info")


def test_plan_has_one_task_per_installed_component_with_a_module() -> None:
    tasks = plan_imports([dist(name) for name in ("numpy", "torch", "nvidia-cudnn-cu12", "pip", "onnxruntime")])
    assert [(task.component, task.module, task.distribution, task.touch) for task in tasks] == [
        ("torch", "torch", "torch", "torch"),
        ("onnxruntime", "onnxruntime", "onnxruntime", "onnxruntime"),
        ("numpy", "numpy", "numpy", ""),
    ]


@pytest.mark.parametrize(
    ("installed", "module"),
    [
        (("tensorrt-cu13-bindings",), "tensorrt_bindings"),
        (("tensorrt-cu13-bindings", "tensorrt-cu13-libs"), "tensorrt_bindings"),
        (("tensorrt", "tensorrt-cu13", "tensorrt-cu13-bindings", "tensorrt-cu13-libs"), "tensorrt"),
        (("tensorrt-cu13-libs",), None),
        (("tensorrt-lean-cu12", "tensorrt-lean-cu12-bindings"), "tensorrt_lean"),
        (("tensorrt-dispatch-cu12-bindings",), "tensorrt_dispatch_bindings"),
        (("cuda-python",), "cuda.cuda"),
        (("cuda-python", "cuda-bindings"), "cuda.bindings.driver"),
    ],
)
def test_module_that_a_partial_installation_can_be_imported_by(installed: tuple[str, ...], module: str | None) -> None:
    tasks = plan_imports([dist(name) for name in installed])
    assert [task.module for task in tasks] == ([module] if module else [])
    assert all(task.touch == "tensorrt" for task in tasks if "tensorrt" in task.module)


def test_import_that_works_is_ok_though_it_prints(modules: Path) -> None:
    (modules / "noisy.py").write_text("import sys\nprint('on stdout')\nprint('on stderr', file=sys.stderr)\n")
    outcome = import_one("noisy")
    assert (outcome.status, outcome.phase, outcome.message) == (S.OK, "", "")
    assert outcome.seconds is not None
    assert 0 <= outcome.seconds < 10
    assert "on stdout" in outcome.stderr_tail


@pytest.mark.parametrize(
    ("source", "signal"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os; os._exit(0)", ""),
        ("import os; os._exit(7)", ""),
    ],
)
def test_module_that_ends_the_process_is_a_crash(modules: Path, source: str, signal: str) -> None:
    (modules / "deadly.py").write_text(f"print('last words', flush=True)\n{source}\n")
    outcome = import_one("deadly")
    assert (outcome.status, outcome.phase, outcome.signal) == (S.CRASH, "import", signal)
    assert outcome.message.endswith("in phase import; before that it said: last words")


def test_module_that_hangs_is_killed_at_the_deadline(modules: Path) -> None:
    (modules / "slow.py").write_text("import time\ntime.sleep(60)\n")
    outcome = import_one("slow", deadline_seconds=2)
    assert (outcome.status, outcome.phase, outcome.signal) == (S.HANG, "import", "")
    assert "slow.py" in outcome.stderr_tail


@pytest.mark.parametrize(
    ("runtime", "phase"),
    [
        ("def Runtime(logger): ctypes.string_at(0)", "touch"),
        ("def Runtime(logger): atexit.register(ctypes.string_at, 0)", "exit"),
    ],
)
def test_crash_in_first_use_and_at_exit_are_told_apart(modules: Path, runtime: str, phase: str) -> None:
    (modules / "stand_in.py").write_text(
        "import atexit, ctypes\nclass Logger:\n    WARNING = 1\n"
        f"    def __init__(self, level): print('CUDA initialization failure with error: 35', flush=True)\n{runtime}\n"
    )
    outcome = import_one("stand_in", touch="tensorrt")
    assert (outcome.status, outcome.phase, outcome.signal) == (S.CRASH, phase, "SIGSEGV")
    assert outcome.provider == "driver", "what the library complained of before it crashed is kept"
    assert outcome.seconds is not None


def test_touch_that_raises_without_a_cause_is_read_from_the_log(modules: Path) -> None:
    (modules / "stand_in.py").write_text(
        "class Logger:\n    WARNING = 1\n    def __init__(self, level): pass\n"
        "def Runtime(logger):\n    print('[TRT] [E] CUDA initialization failure with error: 100')\n"
        "    raise TypeError('factory function returned nullptr')\n"
    )
    outcome = import_one("stand_in", touch="tensorrt")
    assert (outcome.status, outcome.phase, outcome.provider) == (S.NO_DEVICE, "touch", "driver")


def test_wrong_sum_of_torch_is_no_success(modules: Path) -> None:
    (modules / "stand_in.py").write_text(
        "class zeros:\n    def __init__(self, n): pass\n    def __add__(self, other): return self\n"
        "    def sum(self): return 3.0\n"
    )
    outcome = import_one("stand_in", touch="torch")
    assert (outcome.status, outcome.phase) == (S.PYTHON_ERROR, "touch")
    assert outcome.message == "ArithmeticError: torch.zeros(1) + 1: expected 1.0, found 3.0"


def test_providers_of_onnxruntime_are_told(modules: Path) -> None:
    (modules / "stand_in.py").write_text("def get_available_providers(): return ['A', 'B']\n")
    assert import_one("stand_in", touch="onnxruntime").message == "providers: A, B"


@pytest.mark.parametrize(
    ("source", "status", "message"),
    [
        ("import a_module_nobody_has", S.MISSING_MODULE, "No module named 'a_module_nobody_has'"),
        ("1 / 0", S.PYTHON_ERROR, "ZeroDivisionError: division by zero"),
        ("raise SystemExit('no GPU, no fun')", S.PYTHON_ERROR, "SystemExit: no GPU, no fun"),
        ("def broken(:", S.PYTHON_ERROR, "SyntaxError: invalid syntax (plain.py, line 1)"),
        ("class E(Exception):\n    def __str__(self): raise OSError\nraise E", S.PYTHON_ERROR,
         "E: (its text cannot be read: OSError)"),
    ],
)  # fmt: skip
def test_plain_python_errors(modules: Path, source: str, status: ImportStatus, message: str) -> None:
    (modules / "plain.py").write_text(source + "\n")
    outcome = import_one("plain")
    assert (outcome.status, outcome.phase) == (status, "import")
    assert outcome.message == message


def test_leftover_folder_without_init_is_told(modules: Path) -> None:
    (modules / "leftover").mkdir()
    outcome = import_one("leftover")
    assert outcome.message == f"imported as a namespace package: no __init__.py in {modules}/leftover"


def test_native_failure_behind_a_wrapper_is_found(modules: Path) -> None:
    (modules / "wrapped.py").write_text(
        "try:\n    raise OSError('libnccl.so.2: cannot open shared object file: No such file or directory')\n"
        "except OSError as error:\n    raise RuntimeError('Failed to import') from error\n"
    )
    outcome = import_one("wrapped")
    assert (outcome.status, outcome.library, outcome.provider) == (S.MISSING_LIBRARY, "libnccl.so.2", "nccl")


def test_import_that_only_logs_its_native_failure_says_so(modules: Path) -> None:
    (modules / "quiet.py").write_text("print('WARNING: /x/_C.so: undefined symbol: ncclCommWindowRegister')\n")
    outcome = import_one("quiet")
    assert outcome.status is S.OK
    assert outcome.message == "imported, but said: /x/_C.so: undefined symbol: ncclCommWindowRegister"
    assert (outcome.symbol, outcome.provider) == ("ncclCommWindowRegister", "nccl")


@needs_gcc
def test_library_missing_for_real_with_the_file_that_needs_it(modules: Path) -> None:
    package = modules / "package"
    gone = compile_library(package / "libcudnn.so.8", "int cudnnGetVersion(void) { return 8; }")
    middle = compile_library(
        package / "libmiddle.so.1", "int cudnnGetVersion(void); int m(void) { return cudnnGetVersion(); }", [gone]
    )
    native = extension(
        package / "native.so", "int m(void); int use(void) { return m(); }", (middle, "-Wl,-rpath,$ORIGIN")
    )
    gone.unlink()
    (package / "__init__.py").write_text("from .native import *\n")
    outcome = import_one("package")
    assert (outcome.status, outcome.phase) == (S.MISSING_LIBRARY, "import")
    assert (outcome.library, outcome.provider) == ("libcudnn.so.8", "cudnn")
    assert outcome.needed_by == str(middle)
    assert native.exists()
    assert outcome.message == "libcudnn.so.8: cannot open shared object file: No such file or directory"


@needs_gcc
def test_symbol_undefined_for_real_is_demangled(modules: Path) -> None:
    source = 'int f(void) __asm__("_ZN3c106detail4failEv"); int use(void) { return f(); }'
    native = extension(modules / "native.so", source, ("-Wl,-z,now",))
    outcome = import_one("native")
    assert (outcome.status, outcome.phase, outcome.provider) == (S.UNDEFINED_SYMBOL, "import", "torch")
    assert outcome.needed_by == str(native)
    has_demangler = ctypes.util.find_library("stdc++") is not None
    assert outcome.symbol == ("c10::detail::fail()" if has_demangler else "_ZN3c106detail4failEv")


@needs_gcc
def test_symbol_bound_lazily_ends_the_process_and_is_still_named(modules: Path) -> None:
    native = compile_library(
        modules / "libnative.so",
        "int ncclCommRegister(void); int run(void) { return ncclCommRegister(); }",
        ["-Wl,-z,lazy", "-Wl,-z,norelro"],
    )
    (modules / "lazy.py").write_text(f"import ctypes\nctypes.CDLL({str(native)!r}).run()\n")
    text = subprocess.run(["readelf", "-d", native], capture_output=True, text=True, check=True).stdout
    assert "BIND_NOW" not in text
    outcome = import_one("lazy")
    assert (outcome.status, outcome.symbol, outcome.provider) == (S.UNDEFINED_SYMBOL, "ncclCommRegister", "nccl")


@needs_gcc
def test_version_node_missing_for_real(modules: Path, tmp_path: Path) -> None:
    script = tmp_path / "map"
    script.write_text("GLIBCXX_9.9.9 { global: new_thing; };\n")
    library = modules / "libversioned.so.1"
    compile_library(library, "int new_thing(void) { return 1; }", [f"-Wl,--version-script={script}"])
    native = extension(
        modules / "native.so",
        "int new_thing(void); int use(void) { return new_thing(); }",
        (library, "-Wl,-rpath,$ORIGIN"),
    )
    script.write_text("GLIBCXX_1.0 { global: old_thing; };\n")
    compile_library(library, "int old_thing(void) { return 1; }", [f"-Wl,--version-script={script}"])
    outcome = import_one("native")
    assert (outcome.status, outcome.provider) == (S.VERSION_NODE_MISSING, "libstdcxx")
    assert (outcome.symbol, outcome.library) == ("GLIBCXX_9.9.9", str(library))
    assert outcome.needed_by == str(native)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "file too short"), (b"\x7fELF\1" + bytes(200), "wrong ELF class"), (b"<html>" * 20, "invalid ELF header")],
)
def test_file_that_is_no_library_is_named(modules: Path, data: bytes, words: str) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    path = modules / f"native{suffix}"
    path.write_bytes(data)
    outcome = import_one("native")
    assert (outcome.status, outcome.library) == (S.PYTHON_ERROR, str(path))
    assert words in outcome.message


@needs_gcc
def test_mapped_libraries_of_the_stack_are_listed_and_others_are_not(modules: Path) -> None:
    ours = compile_library(modules / "libnccl.so.2", "int a(void) { return 1; }")
    cuda = compile_library(modules / "libcusparse.so.12", "int a(void) { return 1; }")
    other = compile_library(modules / "libother.so.1", "int a(void) { return 1; }")
    loads = "".join(f"ctypes.CDLL({str(path)!r})\n" for path in (ours, cuda, other))
    (modules / "loads.py").write_text(f"import ctypes\n{loads}")
    mapped = import_one("loads").mapped
    assert {str(ours), str(cuda)} <= set(mapped)
    assert str(other) not in mapped
    assert not [path for path in mapped if "libc.so" in path]


def test_imports_run_side_by_side_and_are_waited_for_by_name(modules: Path) -> None:
    for name in "abc":
        (modules / f"wait_{name}.py").write_text("import time\ntime.sleep(1)\n")
    tasks = [ImportTask(name, f"wait_{name}", name) for name in "abc"]
    runner = ImportRunner(tasks, deadline_seconds=20, jobs=3)
    started = time.monotonic()
    runner.start()
    outcomes = [runner.outcome(name) for name in "cab"]
    runner.close()
    assert [outcome.module for outcome in outcomes] == ["wait_c", "wait_a", "wait_b"]
    assert {outcome.status for outcome in outcomes} == {S.OK}
    assert time.monotonic() - started < 2.9, "one after the other takes 3 s of sleep alone"


def test_closing_gives_not_run_for_what_had_not_ended(modules: Path) -> None:
    (modules / "slow.py").write_text("import time\ntime.sleep(60)\n")
    runner = ImportRunner([ImportTask("x", "slow", "slow")], deadline_seconds=90)
    runner.start()
    time.sleep(0.3)
    runner.close()
    outcome = runner.outcome("x")
    assert outcome.status is S.NOT_RUN
    assert "closing" in outcome.message


def test_import_not_planned_is_a_key_error() -> None:
    runner = ImportRunner([], deadline_seconds=1)
    with pytest.raises(KeyError):
        runner.outcome("torch")
    runner.close()


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (ChildEnd(start_error="no memory"), S.NOT_RUN),
        (ChildEnd(records=({"phase": "import", "ok": True},), returncode=None), S.NOT_RUN),
        (ChildEnd(records=({"phase": "import", "ok": False},), returncode=0), S.PYTHON_ERROR),
        (ChildEnd(records=({"phase": 7}, {"junk": 1}), returncode=0), S.CRASH),
        (ChildEnd(records=({"phase": "import", "ok": True, "mapped": "x", "seconds": "y"},), returncode=0), S.OK),
        (ChildEnd(records=({"phase": "import", "ok": False, "errors": [["a"], 3, ["T", "t"]]},)), S.PYTHON_ERROR),
    ],
)
def test_odd_ends_have_an_outcome(end: ChildEnd, status: ImportStatus) -> None:
    assert read_end(ImportTask("x", "x", "x"), end).status is status


def test_needer_is_looked_for_in_a_bounded_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"lib{number}.so").write_bytes(b"junk")
    monkeypatch.setattr("pytest_trtcheck.probe.needers.MAX_FILES", 5)
    opened: list[str] = []

    class Counting(Root):
        def open(self, path: str):  # type: ignore[no-untyped-def]
            opened.append(path)
            return super().open(path)

    assert find_needer(Counting(), "libx.so.1", [], [str(tmp_path)]) == ""
    assert len(opened) == 5


@needs_gcc
def test_needer_is_found_in_the_folder_that_a_wheel_puts_its_libraries_into(tmp_path: Path) -> None:
    gone = compile_library(tmp_path / "libcudart.so.12", "int f(void) { return 1; }")
    (tmp_path / "tensorrt_bindings").mkdir()
    needer = compile_library(
        tmp_path / "tensorrt_libs" / "libnvinfer.so.10", "int f(void); int g(void) { return f(); }", [gone]
    )
    assert find_needer(Root(), "libcudart.so.12", [], [str(tmp_path / "tensorrt_bindings")]) == str(needer)


def test_touches_of_the_plan_are_known_to_the_child() -> None:
    from pytest_trtcheck.probe import child_import

    assert {component.touch for component in COMPONENTS} - {""} == set(child_import._TOUCHES)
