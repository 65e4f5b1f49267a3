"""The parts of crash-proof running, without processes: places, scheduling, names of deaths, the journal."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.isolation.death import End, describe_death, memory_kill_count, signal_name
from pytest_trtcheck.isolation.exchange import Exchange, mark
from pytest_trtcheck.isolation.places import places, select_gpus, visible_gpus
from pytest_trtcheck.isolation.schedule import CheckScheduling
from pytest_trtcheck.session.journal import Journal, read_journal
from tests.stacks import gpu

ONE, TWO = gpu(uuid="GPU-1111"), gpu(uuid="GPU-2222", index=1)
SLICED = gpu(uuid="GPU-3333", index=2, mig_mode="enabled", mig_devices=("MIG-a", "MIG-b"))


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1]),
        ("0,1", [0, 1]),
        ("1,0", [1, 0]),
        ("1", [1]),
        ("GPU-2222", [1]),
        ("GPU-2", [1]),
        ("", []),
        ("-1", []),
        ("1,7,0", [1]),
        ("NoDevFiles", []),
        ("GPU-", []),
        ("0,0", [0]),
    ],
)
def test_cuda_visible_devices_is_read_as_the_driver_reads_it(visible: str | None, expected: list[int]) -> None:
    assert [one.index for one in visible_gpus((ONE, TWO), visible)] == expected


@pytest.mark.parametrize("wanted", ["2", "0,5", "a", "0;1", "-1", "0,", ""])
def test_a_gpu_that_is_not_there_is_refused(wanted: str) -> None:
    with pytest.raises(OptionError, match="--trtcheck-gpus"):
        select_gpus((ONE, TWO), wanted)


def test_places_follow_gpus_mig_instances_and_the_users_number() -> None:
    assert [place.name for place in places((), None)] == ["cpu"]
    assert [place.name for place in places((), 3)] == ["cpu", "cpu", "cpu"]
    assert [place.name for place in places((ONE,), None)] == ["gpu0"]
    assert [place.name for place in places((ONE, TWO), None)] == ["gpu0", "gpu1", "all"]
    assert [place.name for place in places((ONE,), 2)] == ["gpu0", "gpu0"]
    assert [place.spec for place in places((SLICED,), None)] == [
        "popen//env:CUDA_VISIBLE_DEVICES=MIG-a",
        "popen//env:CUDA_VISIBLE_DEVICES=MIG-b",
    ]
    assert places((), None)[0].spec == "popen"


class Node:
    """Stands in for xdist's WorkerController."""

    def __init__(self, name: str) -> None:
        self.gateway = type("Gateway", (), {"id": name})()
        self.sent: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        assert not self.shutting_down
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduling(*nodes: Node, several: set[str] = frozenset(), everything: Node | None = None) -> CheckScheduling:  # type: ignore[assignment]
    made = CheckScheduling(
        len(nodes),
        gpus_needed=lambda nodeid: 2 if nodeid in several else 1,
        group_of=lambda nodeid: nodeid.partition(":")[0] if ":" in nodeid else "",
        sees_all=lambda node: node is everything,
    )
    for node in nodes:
        made.add_node(node)
    return made


def collect(made: CheckScheduling, nodes: list[Node], names: str) -> None:
    for node in nodes:
        made.add_node_collection(node, list(names))
    made.schedule()


def finish(made: CheckScheduling, node: Node, index: int) -> None:
    assert made.collection
    made.started(made.collection[index])
    made.finished(made.collection[index])
    made.mark_test_complete(node, index)


def test_a_worker_holds_two_and_is_shut_down_at_its_last() -> None:
    node = Node("gw0")
    made = scheduling(node)
    collect(made, [node], "abc")
    assert node.sent == [0, 1]
    finish(made, node, 0)
    assert node.sent == [0, 1, 2]
    assert (node.shutting_down, made.tests_finished) == (False, False)
    finish(made, node, 1)
    assert (node.shutting_down, made.tests_finished) == (True, True)


def test_one_each_before_anybody_gets_a_second() -> None:
    nodes = [Node("gw0"), Node("gw1")]
    made = scheduling(*nodes)
    collect(made, nodes, "abc")
    assert [node.sent for node in nodes] == [[0, 2], [1]]


def test_what_a_dead_worker_had_not_started_runs_elsewhere() -> None:
    node, heir = Node("gw0"), Node("gw1")
    made = scheduling(node)
    collect(made, [node], "abc")
    made.started("a")
    assert made.remove_node(node) == "a"
    made.add_node(heir)
    collect(made, [heir], "abc")
    assert heir.sent == [1, 2]


def test_a_worker_that_dies_between_checks_costs_none() -> None:
    node = Node("gw0")
    made = scheduling(node)
    collect(made, [node], "abc")
    made.started("a")
    made.finished("a")
    assert made.remove_node(node) is None


def test_a_check_that_killed_two_workers_is_not_queued_again() -> None:
    made = scheduling()
    for number in range(3):
        node = Node(f"gw{number}")
        made.add_node(node)
        collect(made, [node], "a")
        if number == 2:
            assert node.sent == []
            break
        made.started("a")
        assert made.remove_node(node) == "a"
        made.mark_test_pending("a")


def test_checks_of_several_gpus_wait_until_nothing_else_runs() -> None:
    single, everything = Node("gw0"), Node("gw1")
    made = scheduling(single, everything, several={"b"}, everything=everything)
    collect(made, [single, everything], "abc")
    assert (single.sent, everything.sent) == ([0, 2], [])
    finish(made, single, 0)
    assert everything.sent == []
    finish(made, single, 2)
    assert everything.sent == [1]


def test_a_worker_that_collected_something_else_runs_nothing() -> None:
    nodes = [Node("gw0"), Node("gw1")]
    made = scheduling(*nodes)
    made.add_node_collection(nodes[0], ["a", "b"])
    made.add_node_collection(nodes[1], ["b"])
    made.schedule()
    assert (nodes[0].sent, nodes[1].sent) == ([0, 1], [])
    assert nodes[1].shutting_down


TERMINATED = "terminate called without an active exception\n"


@pytest.mark.parametrize(
    ("status", "tail", "more", "end", "message"),
    [
        (-11, "", {}, End.SIGNAL, "crash: SIGSEGV"),
        (-9, "", {}, End.SIGNAL, "crash: SIGKILL from outside"),
        (-9, "", {"memory_kills": 1}, End.OUT_OF_MEMORY, "out of memory: SIGKILL"),
        (-9, "", {"hang_seconds": 2.5, "memory_kills": 1}, End.HANG, "hang: still running at its deadline of 2.5 s"),
        (0, "", {}, End.EXIT, "exit: the process left with status 0"),
        (-6, "x\nFatal Python error: bad\n", {}, End.SIGNAL, "crash: SIGABRT; Fatal Python error: bad"),
        (-6, TERMINATED, {}, End.SIGNAL, "crash: SIGABRT; C++ terminate, no active exception"),
        (None, "", {}, End.UNKNOWN, "worker lost"),
    ],
)  # fmt: skip
def test_deaths_are_named(status: int | None, tail: str, more: dict[str, Any], end: End, message: str) -> None:
    death = describe_death(status, tail, **more)
    assert death.end is end
    assert death.message.startswith(message)


def test_signals_without_a_name_have_a_number() -> None:
    assert signal_name(signal.SIGSEGV) == "SIGSEGV"
    assert signal_name(50) == "signal 50"


@pytest.mark.parametrize(
    ("line", "files", "count"),
    [
        ("0::/box", {"sys/fs/cgroup/box/memory.events": "low 0\noom_kill 3\n"}, 3),
        ("0::/host/path", {"sys/fs/cgroup/memory.events": "oom_kill 2\n"}, 2),
        ("4:memory:/box", {"sys/fs/cgroup/memory/box/memory.oom_control": "oom_kill_disable 0\noom_kill 5\n"}, 5),
        ("4:cpu:/box", {}, 0),
        ("0::/box", {"sys/fs/cgroup/box/memory.events": "oom_kill many\n"}, 0),
        ("nonsense", {}, 0),
    ],
)
def test_memory_kills_are_counted_in_both_kinds_of_cgroup(
    tmp_path: Path, line: str, files: dict[str, str], count: int
) -> None:
    for name, text in {"proc/self/cgroup": line + "\n", **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory_kill_count(str(tmp_path)) == count


def test_the_tail_of_a_log_begins_at_the_checks_own_mark(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    exchange.log("gw0").write_bytes(mark("a") + b"first\n" + mark("b") + b"second\n")
    assert exchange.tail("gw0", "b") == "second\n"
    assert exchange.tail("gw1", "b") == ""
    exchange.log("gw0").write_bytes(mark("b") + b"x" * 100_000)
    assert exchange.tail("gw0", "b") == "x" * 16384


def test_documents_pass_between_processes(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    assert exchange.get("plan") is None
    exchange.put("plan", {"a": 1})
    assert exchange.wait("plan") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_journal_is_read_up_to_a_last_line_that_is_cut_short(tmp_path: Path) -> None:
    complaints: list[str] = []
    journal = Journal(tmp_path, complaints.append)
    journal.write("run", n=1)
    journal.write("start", nodeid="a\nb")
    journal.close()
    with journal.path.open("a") as file:
        file.write('{"event": "resu')
    assert [event["event"] for event in read_journal(journal.path)] == ["run", "start"]
    assert complaints == []


def test_a_journal_line_that_is_broken_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "run"}\nnonsense\n{"event": "end"}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_journal(path)


def test_a_journal_that_cannot_be_written_complains_once(tmp_path: Path) -> None:
    complaints: list[str] = []
    journal = Journal(tmp_path / "nowhere", complaints.append)
    journal.write("run")
    journal.write("end")
    journal.close()
    assert len(complaints) == 1
    assert "the run goes on without it" in complaints[0]


def in_group(made: CheckScheduling, nodes: list[Node], names: list[str]) -> None:
    for node in nodes:
        made.add_node_collection(node, names)
    made.schedule()


def test_checks_of_a_group_stay_on_one_worker() -> None:
    nodes = [Node("gw0"), Node("gw1")]
    made = scheduling(*nodes)
    in_group(made, nodes, ["a:0", "a:1", "a:2", "b:0", "b:1", "b:2"])
    for index in (0, 3, 1, 4, 2, 5):
        finish(made, nodes[index // 3], index)
    assert [sorted(node.sent) for node in nodes] == [[0, 1, 2], [3, 4, 5]]
    assert made.tests_finished


def test_a_worker_without_a_group_of_its_own_is_not_kept_waiting_for_anothers() -> None:
    nodes = [Node("gw0"), Node("gw1")]
    made = scheduling(*nodes)
    in_group(made, nodes, ["a:0", "a:1", "a:2"])
    assert [node.sent for node in nodes] == [[0, 1], []]
    assert nodes[1].shutting_down


def test_the_group_of_a_dead_worker_goes_to_another() -> None:
    nodes = [Node("gw0"), Node("gw1")]
    made = scheduling(*nodes)
    in_group(made, nodes, ["a:0", "a:1", "a:2", "b:0", "b:1"])
    made.started("a:0")
    assert made.remove_node(nodes[0]) == "a:0"
    finish(made, nodes[1], 3)
    finish(made, nodes[1], 4)
    assert sorted(nodes[1].sent) == [1, 2, 3, 4]
