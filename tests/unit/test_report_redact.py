"""Masking: names of machine and user and what looks like a secret are gone from every format, and nothing else is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck.model.facts import Fact, Gpu, State
from pytest_trtcheck.model.report import RunReport
from pytest_trtcheck.report.formats import ALL
from pytest_trtcheck.report.identity import Identity, identity_of_here
from pytest_trtcheck.report.json_report import from_json, to_json
from pytest_trtcheck.report.redact import Redactor
from pytest_trtcheck.report.secrets import is_secret_name
from tests.golden.sample import sample_report

UUID = "GPU-b3433350-8343-68b7-4124-9b6586e1307a"
IDENTITY = Identity(
    hosts=("dgx-017.corp.example", "dgx-017"),
    users=("alice.doe",),
    homes=("/home/alice.doe", "/data/homes/alice"),
    secrets=("s3cr3t-of-the-environment",),
)
SECRETS = {
    "HF_TOKEN=hf_abcdefghijklmnopqrst": "hf_abcdefghijklmnopqrst",
    "environ({'NGC_API_KEY': 'abc def'})": "abc def",
    '{"password": "hunter2"}': "hunter2",
    "password: hunter2": "hunter2",
    "--password hunter2 --level quick": "hunter2",
    "--api-key=hunter2": "hunter2",
    "https://bob:hunter2@registry.example/simple": "hunter2",
    "https://bob:hun@ter2@registry.example/simple": "ter2",
    "https://ghs_token@github.com/x": "ghs_token",
    "https://s3.example/x?X-Amz-Signature=0badc0de&y=1": "0badc0de",
    "Authorization: Bearer abcdefgh12345678": "abcdefgh12345678",
    "Authorization: Basic Ym9iOmh1bnRlcjI=": "Ym9iOmh1bnRlcjI=",
    "curl -H 'authorization: token abc'": "token",
    "token: 4f1c9a7e2b3d4f5a6b7c": "4f1c9a7e2b3d4f5a6b7c",
    "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG": "wJalrXUtnFEMI/K7MDENG",
    "key AKIAIOSFODNN7EXAMPLE in use": "AKIAIOSFODNN7EXAMPLE",
    "glpat-abcdefghij0123456789": "glpat-abcdefghij0123456789",
    "nvapi-abcdefghij0123456789_-": "nvapi-abcdefghij0123456789_-",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_1": "eyJzdWIiOiIxMjM0In0",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----": "MIIEow",
    "-----BEGIN PRIVATE KEY-----\nMIIEow and then cut": "MIIEow",
    "it said s3cr3t-of-the-environment": "s3cr3t-of-the-environment",
}
NAMES = {
    f"found {UUID} in use": "b3433350",
    "MIG-b3433350-8343-68b7-4124-9b6586e1307a": "b3433350",
    "MIG-GPU-b3433350-8343-68b7-4124-9b6586e1307a/1/0": "b3433350",
    "Serial Number                         : 1321020012345": "1321020012345",
    "'board_serial': '1321020012345'": "1321020012345",
    "connect to dgx-017.corp.example:8000": "dgx-017",
    "dgx-017: out of memory": "dgx-017",
    "user alice.doe is not in group render": "alice",
    "/home/alice.doe/venv/lib/libcudnn.so.9": "alice",
    "file:///home/alice.doe/x": "alice",
    "PATH=/opt/bin:/home/alice.doe/bin": "alice",
    "/data/homes/alice/x": "alice",
    "/home/bob/.cache/pip": "bob",
    "/Users/bob/x": "bob",
}
UNTOUCHED = (
    "max_num_tokens=8192 tokens_per_block=32",
    "eos_token: 2, pad_token='<pad>', bos_token = 128000",
    "tokens/s: 1234.5",
    "first_token: 0.31 s",
    "TRC-DRV-001-torch",
    "/usr/lib/python3.10/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
    "https://docs.nvidia.com/deeplearning/cudnn/index.html#a?b=c",
    "cache key: d128-bf16",
    "driver >=580.65.06 for CUDA 13.0; a key of the vocabulary",
    "GPU-0 and GPU-1 are visible",
    "serial execution: yes",
    "pip install 'nvidia-cudnn-cu12>=8,<9'",
    "malice.doesnot",
    "xdgx-0171",
    "git@github.com:NVIDIA/TensorRT-LLM.git",
    "bypass: on, compass=2",
)


@pytest.mark.parametrize(("text", "secret"), [*SECRETS.items(), *NAMES.items()])
def test_secret_or_name_is_masked_and_masking_again_changes_nothing(text: str, secret: str) -> None:
    redactor = Redactor(IDENTITY)
    masked = redactor.text(text)
    assert secret not in masked
    assert "masked" in masked or "<" in masked or "~" in masked
    assert redactor.text(masked) == masked
    assert Redactor().text(masked) == masked


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_is_neither_stays_as_it_is(text: str) -> None:
    assert Redactor(IDENTITY).text(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    redactor = Redactor(IDENTITY)
    assert redactor.text("a HF_TOKEN='x y', b") == "a HF_TOKEN='<redacted>', b"
    assert (
        redactor.text("https://u:p@host.example/x?sig=1&n=2") == "https://<redacted>@host.example/x?sig=<redacted>&n=2"
    )
    assert redactor.text("/home/alice.doe/venv/x.so") == "~/venv/x.so"
    assert redactor.text("/home/bob/venv/x.so") == "/home/<user>/venv/x.so"


def test_two_gpus_stay_apart_and_one_keeps_its_mask() -> None:
    redactor = Redactor()
    other = UUID.replace("7a", "7b")
    first, second, upper = (redactor.text(uuid) for uuid in (UUID, other, UUID.upper()))
    assert re.fullmatch(r"GPU-masked-[0-9a-f]{6}", first)
    assert first != second
    assert first == upper


def secretive_report() -> RunReport:
    """Return the golden report with every kind of name and secret in every kind of place."""
    base = sample_report()
    poison = " ; ".join([*SECRETS, *NAMES])
    details = {
        "board_serial": "1321020012345",
        "serials": [1321020012345],
        "api_key": "hunter2",
        "nested": {"t": poison},
    }
    fact = Fact("driver", State.FOUND, "580.65.06", poison, poison, details=details)
    stack = replace(
        base.stack, name=poison, facts={"driver": fact}, gpus=(Gpu(0, "H200", UUID, "9.0", mig_devices=(UUID,)),)
    )
    return replace(
        base,
        stack=stack,
        findings=tuple(replace(entry, found=poison, remedy=poison, detail=poison) for entry in base.findings[:3]),
        results=tuple(replace(entry, message=poison, text=poison) for entry in base.results),
        verdict_reasons=(poison,),
        not_looked_at=(poison,),
        isolation=replace(base.isolation, notes=(poison,)),
    )


@pytest.mark.parametrize("renderer", ALL, ids=lambda renderer: renderer.name)
def test_no_format_tells_a_name_or_a_secret(renderer: object) -> None:
    told = [*SECRETS.values(), *(name for name in NAMES.values() if name != "bob"), "1321020012345"]
    told.remove("token")
    plain = renderer.render(secretive_report())  # type: ignore[attr-defined]
    masked = renderer.render(Redactor(IDENTITY).report(secretive_report()))  # type: ignore[attr-defined]
    assert [secret for secret in told if secret in masked] == []
    assert any(secret in plain for secret in told), "the report under test holds no secret that this format shows"


def test_masked_report_says_so_and_is_read_back() -> None:
    masked = Redactor(IDENTITY).report(secretive_report())
    assert masked.redacted
    again = from_json(to_json(masked))
    assert again.redacted
    assert to_json(Redactor(IDENTITY).report(again)) == to_json(again)


def test_field_of_a_telling_name_is_masked_whatever_it_holds() -> None:
    masked = Redactor().report(secretive_report())
    details = masked.stack.facts["driver"].details
    assert (details["board_serial"], details["serials"], details["api_key"]) == (
        "<redacted>",
        ["<redacted>"],
        "<redacted>",
    )
    gpu = Redactor().value(Gpu(0, "H200", "odd form", "9.0"))
    assert re.fullmatch(r"UUID-masked-[0-9a-f]{6}", gpu.uuid)


def test_result_without_anything_to_mask_is_the_same_object() -> None:
    result = sample_report().results[0]
    assert Redactor(IDENTITY).value(result) is result


def test_report_of_a_real_run_loses_nothing_but_the_uuid_of_its_gpu() -> None:
    path = Path(__file__).parents[2] / "reports" / "examples" / "h200-torch-2.11" / "report.json"
    text = path.read_text(encoding="utf-8").replace("GPU-masked-d7fa7e", "GPU-6cd24a24-1b4e-4b61-a5c5-0f4b3a7de2a1")
    report = from_json(text.replace('"redacted": true', '"redacted": false'))
    before, after = (to_json(entry).splitlines() for entry in (report, Redactor(IDENTITY).report(report)))
    changed = [(old.strip(), new.strip()) for old, new in zip(before, after, strict=True) if old != new]
    assert [old.partition(":")[0] for old, _ in changed] == ['"uuid"', '"redacted"']


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("HF_TOKEN", True),
        ("AWS_SECRET_ACCESS_KEY", True), ("MYSQL_PASSWORD", True), ("api-key", True), ("PGPASSWORD", True),
        ("TOKENIZERS_PARALLELISM", False), ("SSH_AUTH_SOCK", False), ("eos_token", False), ("KEYBOARD", False),
    ],
)  # fmt: skip
def test_names_of_variables_that_hold_secrets(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) is is_secret


def test_identity_is_read_from_the_machine_and_its_environment() -> None:
    environ = {
        "HOSTNAME": "worker-9f3",
        "USER": "carol",
        "HOME": "/work/carol",
        "X_TOKEN": "abcdefgh",
        "SHORT_TOKEN": "abc",
    }
    identity = identity_of_here(environ)
    assert "worker-9f3" in identity.hosts
    assert "carol" in identity.users
    assert "/work/carol" in identity.homes
    assert identity.secrets == ("abcdefgh",)


@pytest.mark.parametrize("name", ["root", "nvidia", "triton", "torch", "cuda", "localhost", "ab", "1000", "tensorrt"])
def test_common_word_is_no_name(name: str) -> None:
    identity = identity_of_here({"USER": name, "HOSTNAME": name, "HOME": "/"})
    assert name not in (*identity.users, *identity.hosts)
    assert "/" not in identity.homes


@given(text=st.text(max_size=300))
def test_any_text_is_masked_once_and_for_all(text: str) -> None:
    redactor = Redactor(IDENTITY)
    assert redactor.text(redactor.text(text)) == redactor.text(text)


def test_megabytes_are_masked_within_a_second_or_so() -> None:
    import time

    started = time.perf_counter()
    for text in (
        "a" * 5_000_000,
        "/home/" * 500_000,
        "password" * 300_000,
        "://" * 500_000,
        "token=" * 300_000,
        "-" * 3_000_000,
    ):
        Redactor(IDENTITY).text(text)
    assert time.perf_counter() - started < 30


def test_json_values_keep_their_kind() -> None:
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": "HF_TOKEN=abcdef"}}
    masked = Redactor().value(value)
    assert json.loads(json.dumps(masked)) == {"a": [1, 2.5, None, True, "x"], "b": {"c": "HF_TOKEN=<redacted>"}}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("connect to 10.20.30.40:8000: refused", "connect to <ip>:8000: refused"),
        ("http://192.168.1.7/v2 and root@172.16.0.4", "http://<ip>/v2 and root@<ip>"),
        ("MASTER_ADDR=10.0.1.6", "MASTER_ADDR=<ip>"),
        ("listening on 10.0.1.6", "listening on <ip>"),
        ("bound to fe80::1ff:fe23:4567:890a", "bound to <ip>"),
        ("peer 2001:db8:85a3::8a2e:370:7334 left", "peer <ip> left"),
    ],
)
def test_addresses_are_masked(text: str, masked: str) -> None:
    assert Redactor().text(text) == masked
    assert Redactor().text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "TensorRT 10.13.0.35 and cuDNN 9.24.0.43 are here",
        "10.0.1.6",
        "libcudnn 9.24.0.43: not found",
        "http://127.0.0.1:8000 and localhost:80",
        "PCI 00000000:19:00.0 at 10:00:00 in c10::cuda::fd",
        "2026-11-20T10:00:01.500+00:00",
        "driver >=580.65.06, server 2.51.0",
    ],
)
def test_versions_times_and_own_loopback_are_no_addresses(text: str) -> None:
    assert Redactor().text(text) == text
