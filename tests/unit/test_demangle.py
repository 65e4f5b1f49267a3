"""C++ names are written as c++filt writes them, or left as they are."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_trtcheck.binaries.demangle import demangle
from pytest_trtcheck.binaries.objects import read_object
from pytest_trtcheck.probe.root import Root

needs_filt = pytest.mark.skipif(shutil.which("c++filt") is None, reason="c++filt (binutils) is not installed")
LIBRARIES = ("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/usr/lib64/libstdc++.so.6")


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN3c106DeviceC1ERKSs", "c10::Device::Device(std::string const&)"),
        ("_ZNK5torch8autograd4Node4nameEv", "torch::autograd::Node::name() const"),
        (
            "_ZNK2at10TensorBase14const_data_ptrIiLi0EEEPKT_v",
            "int const* at::TensorBase::const_data_ptr<int, 0>() const",
        ),
        (
            "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs",
            "c10::detail::torchCheckFail(char const*, char const*, unsigned int, std::string const&)",
        ),
        ("_ZTVN8nvinfer112IPluginV2ExtE", "vtable for nvinfer1::IPluginV2Ext"),
        ("_ZN2at6TensoraSEOS0_", "at::Tensor::operator=(at::Tensor&&)"),
        ("cublasLtGetEnvironmentMode", "cublasLtGetEnvironmentMode"),
        ("_ZN3c106detail14torchCheckFail", "_ZN3c106detail14torchCheckFail"),
        ("_Z", "_Z"),
        ("_ZN1aIXplLi1ELi2EEE1fEv", "_ZN1aIXplLi1ELi2EEE1fEv"),
    ],
)
def test_names_are_readable(symbol: str, name: str) -> None:
    assert demangle(symbol) == name


def _agree(symbols: Sequence[str]) -> None:
    """Hold against c++filt: what is written out is right, and nearly all is written out."""
    done = subprocess.run(["c++filt", "-i"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    told = dict(zip(symbols, done.stdout.splitlines(), strict=True))
    mine = {symbol: demangle(symbol) for symbol in symbols}
    wrong = {symbol: (mine[symbol], told[symbol]) for symbol in symbols if mine[symbol] not in {symbol, told[symbol]}}
    left = [symbol for symbol in symbols if mine[symbol] == symbol != told[symbol]]
    assert not wrong
    assert len(left) < len(symbols) / 20, left[:10]


@needs_filt
def test_all_of_the_standard_library_is_written_as_cppfilt_does() -> None:
    path = next((path for path in LIBRARIES if Path(path).exists()), None)
    if path is None:
        pytest.skip("no libstdc++ on this machine")
    names = {name.decode() for name in read_object(Root("/"), path).symbols.exported()}
    _agree(sorted(name for name in names if name.startswith("_Z")))


def test_damaged_names_are_left_alone() -> None:
    rng = random.Random(20)
    seed = "_ZNSt8_Rb_treeIN3c1010DeviceTypeESt4pairIKS1_PFvRKSsPA3_iEESaIS7_EE6insertIJRS3_DpOT_EEvS1_S_T0_"
    for _ in range(5000):
        text = list(seed)
        for _ in range(rng.randrange(1, 6)):
            text[rng.randrange(2, len(text))] = rng.choice("ISNEKRPJTX_0123456789stv")
        assert demangle("".join(text[: rng.randrange(2, len(text) + 1)]))


def test_a_name_that_would_grow_without_end_is_left_alone() -> None:
    bomb = "_Z1f" + "".join(f"I{'S_' if level else 'i'}{'S_'}E" for level in range(600))
    nested = "_Z1fN1aI" + "".join(f"NS{'' if not n else '0123456789ABCDEFGHIJ'[n % 20]}_I" for n in range(500))
    for text in (bomb, nested, "_Z" + "N" * 4000, "_Z1f" + "P" * 4000 + "i", "_Z1f" + "PF" * 1500):
        assert len(demangle(text)) <= 1 << 17
