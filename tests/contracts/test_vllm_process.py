"""What an engine of vLLM finds in the environment while it comes up, and what is left of it afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pytest_trtcheck._suites.probe_llm.providers.vllm_process import fits_in_one_process, undisturbed, with_numbers
from pytest_trtcheck.providers import Setup
from tests.attention.libraries import module

ONE_PROCESS = "VLLM_ENABLE_V1_MULTIPROCESSING"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ONE_PROCESS, "VLLM_WORKER_MULTIPROC_METHOD", "VLLM_NO_USAGE_STATS"):
        monkeypatch.delenv(name, raising=False)
    module(monkeypatch, "torch", set_num_threads=print)


def test_nothing_is_reported_and_nothing_forked() -> None:
    with undisturbed(one_process=False):
        assert os.environ["VLLM_NO_USAGE_STATS"] == os.environ["HF_HUB_OFFLINE"] == "1"
        assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
        assert ONE_PROCESS not in os.environ
    with undisturbed(one_process=True):
        assert os.environ[ONE_PROCESS] == "0"


def test_one_process_is_for_cpus_without_speculation_and_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits_in_one_process(Setup(), "cpu")
    assert not fits_in_one_process(Setup(), "cuda")
    assert not fits_in_one_process(Setup(speculation="ngram"), "cpu")
    module(monkeypatch, "llvmlite")
    assert not fits_in_one_process(Setup(), "cpu")


def test_the_users_choice_of_processes_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ONE_PROCESS, "1")
    with undisturbed(one_process=True):
        assert os.environ[ONE_PROCESS] == "1"


def test_reports_are_off_whatever_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "0")
    with undisturbed(one_process=True):
        assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    assert os.environ["VLLM_NO_USAGE_STATS"] == "0"


def test_in_one_process_standard_output_has_a_descriptor() -> None:
    before = sys.stdout
    with undisturbed(one_process=True):
        assert sys.stdout is sys.__stdout__
    assert sys.stdout is before


def test_gpus_are_named_by_number_while_it_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """pynvml is a stand-in here, of its calls for UUIDs alone."""
    numbers = {"GPU-aa": 3, "GPU-bb": 0}
    nothing = SimpleNamespace(nvmlInit=lambda: None, nvmlShutdown=lambda: None)
    module(
        monkeypatch, "pynvml", **vars(nothing), nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetIndex=numbers.__getitem__,
    )  # fmt: skip
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    with undisturbed(one_process=False):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,0"
        assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-aa,GPU-bb"


@pytest.mark.parametrize("visible", ["", "0,1", "MIG-aa"])
def test_other_names_of_gpus_are_left(visible: str) -> None:
    assert with_numbers(visible) == visible


@pytest.mark.parametrize("error", [None, ValueError])
def test_what_the_library_changes_is_put_back(error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("NUMEXPR_MAX_THREADS", "7")
    before, set_num_threads = dict(os.environ), torch.set_num_threads

    def change() -> None:
        os.environ.update(LD_PRELOAD="libgomp.so", NUMEXPR_MAX_THREADS="2")
        torch.set_num_threads = _nothing
        if error:
            raise error

    try:
        with undisturbed(one_process=True):
            change()
    except ValueError:
        assert error
    assert dict(os.environ) == before
    assert torch.set_num_threads is set_num_threads


_nothing: Callable[[int], None] = print
