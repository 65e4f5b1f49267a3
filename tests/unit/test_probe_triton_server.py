"""The Triton Inference Server in an image, on PATH and inside a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_trtcheck.model.facts import State
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.probe.triton_server import triton_server_fact

SITE = "/venv/lib/python3.12/site-packages"


def put(base: Path, path: str, text: str = "") -> None:
    target = base / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def test_server_of_an_image_with_release_and_backends(tmp_path: Path) -> None:
    put(tmp_path, "/opt/tritonserver/bin/tritonserver")
    put(tmp_path, "/opt/tritonserver/TRITON_VERSION", "2.59.0\n")
    put(tmp_path, "/opt/tritonserver/backends/python/libtriton_python.so")
    put(tmp_path, "/opt/tritonserver/backends/tensorrtllm/libtriton_tensorrtllm.so")
    put(tmp_path, "/opt/tritonserver/backends/README")
    fact = triton_server_fact(Root(tmp_path), {"PATH": "/opt/tritonserver/bin"})
    assert (fact.value, fact.how, len(fact.copies)) == ("2.59.0", "TRITON_VERSION", 1)
    assert fact.details["backends"] == {
        "python": "/opt/tritonserver/backends/python",
        "tensorrtllm": "/opt/tritonserver/backends/tensorrtllm",
    }


@pytest.mark.parametrize("text", ["", "not a release", "2" * 600, "\x00\x01"])
def test_release_file_with_something_else_is_shown(tmp_path: Path, text: str) -> None:
    put(tmp_path, "/opt/tritonserver/bin/tritonserver")
    put(tmp_path, "/opt/tritonserver/TRITON_VERSION", text)
    fact = triton_server_fact(Root(tmp_path), {})
    assert (fact.state, fact.value) == (State.FOUND, None)
    assert "expected a release like 2.59.0" in fact.reason


def test_variable_of_the_image_stands_in_for_a_missing_release_file(tmp_path: Path) -> None:
    put(tmp_path, "/opt/tritonserver/bin/tritonserver")
    env = {"TRITON_SERVER_VERSION": "2.60.0"}
    assert triton_server_fact(Root(tmp_path), env).value == "2.60.0"
    fact = triton_server_fact(Root(tmp_path), {"TRITON_SERVER_VERSION": "$(whoami)"})
    assert fact.value is None
    assert fact.reason == "release unknown: /opt/tritonserver/TRITON_VERSION: does not exist"


def test_server_inside_a_wheel_is_found_after_that_of_the_image(tmp_path: Path) -> None:
    put(tmp_path, f"{SITE}/pytriton/tritonserver/bin/tritonserver")
    put(tmp_path, f"{SITE}/pytriton/tritonserver/backends/python/libtriton_python.so")
    wheel = triton_server_fact(Root(tmp_path), {}, [SITE])
    assert (wheel.state, wheel.value) == (State.FOUND, None)
    assert set(wheel.details["backends"]) == {"python"}
    assert wheel.copies[0].found_by == "nvidia-pytriton wheel"
    put(tmp_path, "/opt/tritonserver/bin/tritonserver")
    both = triton_server_fact(Root(tmp_path), {}, [SITE])
    assert [copy.found_by for copy in both.copies] == ["/opt/tritonserver", "nvidia-pytriton wheel"]
    assert both.chosen == 0


@pytest.mark.parametrize(
    ("wheel", "release"), [("0.7.0", "2.51.0"), ("0.5.12", "2.50.0"), ("9.9.9", None), ("0.7.0/../..", None)]
)
@pytest.mark.parametrize("on_path", [False, True])
def test_release_of_the_server_follows_from_that_of_its_wheel(
    tmp_path: Path, wheel: str, release: str | None, on_path: bool
) -> None:
    put(tmp_path, f"{SITE}/pytriton/tritonserver/bin/tritonserver")
    put(tmp_path, f"{SITE}/nvidia_pytriton-{wheel}.dist-info/METADATA")
    if on_path:
        (tmp_path / SITE[1:] / "pytriton/tritonserver/bin/tritonserver").chmod(0o755)
    env = {"PATH": f"{SITE}/pytriton/tritonserver/bin"} if on_path else {}
    fact = triton_server_fact(Root(tmp_path), env, [] if on_path else [SITE])
    assert fact.copies[0].found_by == ("PATH" if on_path else "nvidia-pytriton wheel")
    assert fact.value == release


def test_program_on_path_leads_to_its_home(tmp_path: Path) -> None:
    put(tmp_path, "/srv/triton/bin/tritonserver")
    put(tmp_path, "/srv/triton/TRITON_VERSION", "2.51.0")
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/tritonserver").symlink_to("/srv/triton/bin/tritonserver")
    fact = triton_server_fact(Root(tmp_path), {"PATH": "/usr/bin"})
    assert (fact.value, fact.where, fact.details["home"]) == (
        "2.51.0",
        "/srv/triton/bin/tritonserver",
        "/srv/triton",
    )
    assert fact.copies[0].found_by == "PATH"


def test_no_server_says_where_was_looked(tmp_path: Path) -> None:
    fact = triton_server_fact(Root(tmp_path), {}, [SITE])
    assert fact.state is State.ABSENT
    assert "/opt/tritonserver" in fact.reason
