"""rpm's database: what rpm itself writes is read as rpm reads it; damage and strange schemas end in words."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_trtcheck.image.pins import contents_of
from pytest_trtcheck.model.facts import Stack, State
from pytest_trtcheck.probe import rpm
from pytest_trtcheck.probe.root import ReadError
from pytest_trtcheck.probe.rpm import RpmError, read_rpm
from tests.fakeroot import FakeRoot

DATABASE = "/usr/lib/sysimage/rpm/rpmdb.sqlite"
LIB64 = "/usr/lib64"


pytestmark = pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "deserialize"), reason="sqlite3 of Python 3.10 reads no database from memory"
)


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path / "root")


def header(name: str, version: str, release: str, *, epoch: int = 0, files: Sequence[str] = ()) -> bytes:
    """Return a header as rpm stores it: big-endian index, then the values."""
    entries: list[tuple[int, int, int, bytes]] = [
        (1000, 6, 1, name.encode() + b"\0"),
        (1001, 6, 1, version.encode() + b"\0"),
        (1002, 6, 1, release.encode() + b"\0"),
        (1022, 6, 1, b"x86_64\0"),
    ]
    if epoch:
        entries.append((1003, 4, 1, struct.pack(">I", epoch)))
    if files:
        folders = sorted({path.rpartition("/")[0] + "/" for path in files})
        places = [folders.index(path.rpartition("/")[0] + "/") for path in files]
        entries.append((1116, 4, len(files), struct.pack(f">{len(files)}I", *places)))
        entries.append((1117, 8, len(files), b"".join(path.rpartition("/")[2].encode() + b"\0" for path in files)))
        entries.append((1118, 8, len(folders), b"".join(folder.encode() + b"\0" for folder in folders)))
    index, data = b"", b""
    for tag, kind, count, value in entries:
        data += bytes(-len(data) % 4)
        index += struct.pack(">IIII", tag, kind, len(data), count)
        data += value
    return struct.pack(">II", len(entries), len(data)) + index + data


def database(path: Path, headers: Sequence[bytes], *, schema: str = "") -> bytes:
    """Write a database as rpm's sqlite backend does, in its journal mode, and return its bytes."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(schema or "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    if not schema:
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(one,) for one in headers])
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()


CUDNN = header("libcudnn9-cuda-12", "9.10.2.21", "1", files=[f"{LIB64}/libcudnn.so.9.10.2", "/usr/share/doc/x"])
GLIBC = header("glibc", "2.34", "168.el9", files=["/lib64/libc.so.6"])
PERL = header("perl", "5.32", "1", epoch=4)
KEY = header("gpg-pubkey", "fd431d51", "4ae0493b")


def test_packages_and_the_owners_of_libraries_are_read(tree: FakeRoot, tmp_path: Path) -> None:
    tree.file(DATABASE, database(tmp_path / "db", [CUDNN, GLIBC, PERL, KEY]))
    found = read_rpm(tree.root)
    assert found is not None
    assert [(one.name, one.version) for one in found.packages] == [
        ("glibc", "2.34-168.el9"), ("libcudnn9-cuda-12", "9.10.2.21-1"), ("perl", "4:5.32-1"),
    ]  # fmt: skip
    assert {path: one.name for path, one in found.libraries.items()} == {
        f"{LIB64}/libcudnn.so.9.10.2": "libcudnn9-cuda-12",
        "/lib64/libc.so.6": "glibc",
    }


def test_a_library_has_the_version_of_its_package(tree: FakeRoot, tmp_path: Path) -> None:
    tree.file(DATABASE, database(tmp_path / "db", [CUDNN]))
    tree.library(f"{LIB64}/libcudnn.so.9.10.2", "libcudnn.so.9")
    tree.link("/lib64", "usr/lib64")
    facts = tree.probe()
    assert (facts["cudnn"].value, facts["cudnn"].how) == ("9.10.2.21", "rpm")
    assert (facts["rpm"].value, facts["rpm"].where) == ("1", DATABASE)
    assert facts["dpkg"].state is State.ABSENT


def test_a_package_of_another_name_tells_no_version_of_the_library_in_it(tree: FakeRoot, tmp_path: Path) -> None:
    tree.file(DATABASE, database(tmp_path / "db", [header("app", "1.0", "1", files=[f"{LIB64}/libcudnn.so.9.10.2"])]))
    tree.library(f"{LIB64}/libcudnn.so.9.10.2", "libcudnn.so.9")
    assert tree.probe()["cudnn"].value == "9.10.2"


def test_a_file_of_no_folder_is_passed_over(tree: FakeRoot, tmp_path: Path) -> None:
    folders = b"/usr/lib64/\0/usr/share/doc/\0"
    broken = CUDNN.replace(struct.pack(">2I", 0, 1), struct.pack(">2I", 9, 1))
    assert folders in CUDNN
    assert broken != CUDNN
    tree.file(DATABASE, database(tmp_path / "db", [broken]))
    found = read_rpm(tree.root)
    assert found is not None
    assert not [path for path in found.libraries if "cudnn" in path]


def test_rpm_packages_are_pinned(tree: FakeRoot, tmp_path: Path) -> None:
    tree.file(DATABASE, database(tmp_path / "db", [CUDNN, PERL]))
    pinned = contents_of(Stack("image", "x", {}), tree.root).groups["packages"]
    assert pinned == {"libcudnn9-cuda-12": "9.10.2.21-1", "perl": "4:5.32-1"}


def test_a_python_that_cannot_read_it_from_memory_says_so(
    tree: FakeRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.file(DATABASE, database(tmp_path / "db", [CUDNN]))
    monkeypatch.setattr(sqlite3, "Connection", object)
    with pytest.raises(RpmError, match=r"needs Python 3\.11"):
        read_rpm(tree.root)


@pytest.mark.parametrize(("name", "kind"), [("Packages", "Berkeley DB"), ("Packages.db", "NDB")])
def test_older_databases_are_named_as_not_read(tree: FakeRoot, name: str, kind: str) -> None:
    assert "rpm" not in tree.probe()
    tree.file(f"/var/lib/rpm/{name}", b"x")
    fact = tree.probe()["rpm"]
    assert fact.state is State.UNREADABLE
    assert f"/var/lib/rpm/{name}: a database of an older rpm ({kind})" in fact.reason


def test_changes_that_were_not_written_back_are_told(tree: FakeRoot, tmp_path: Path) -> None:
    tree.file(DATABASE, database(tmp_path / "db", [CUDNN]))
    tree.file(f"{DATABASE}-wal", b"")
    assert read_rpm(tree.root) is not None
    tree.file(f"{DATABASE}-wal", b"changes")
    with pytest.raises(RpmError, match=r"still in rpmdb\.sqlite-wal"):
        read_rpm(tree.root)


VIRTUAL = "CREATE VIRTUAL TABLE Packages USING fts5(hnum, blob)"
ENDLESS = (
    "CREATE VIEW Packages AS WITH RECURSIVE c(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM c) "
    "SELECT hnum, x'00' AS blob FROM c"
)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: b"hello" * 100, "expected a SQLite database"),
        (lambda path: b"SQLite format 3\0", "expected a SQLite database"),
        (lambda path: b"SQLite format 3\0" + bytes(200), "damaged rpm database"),
        (lambda path: database(path, [], schema="CREATE TABLE other (a)"), "expected a table Packages, found none"),
        (lambda path: database(path, [], schema=ENDLESS), "expected a table Packages, found none"),
        (lambda path: database(path, [], schema=VIRTUAL), "expected a table Packages, found none"),
        (lambda path: database(path, [b"x"]), "damaged rpm database"),
        (lambda path: database(path, [struct.pack(">II", 3, 0)]), "a header that is cut short"),
        (lambda path: database(path, [struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF)]), "a header that is cut short"),
        (lambda path: database(path, [header("", "", "")]), "a header without name or version"),
        (lambda path: database(path, [CUDNN])[:5000], "damaged rpm database"),
    ],
)
def test_a_damaged_database_is_one_line(tree: FakeRoot, tmp_path: Path, make: object, words: str) -> None:
    assert callable(make)
    tree.file(DATABASE, make(tmp_path / "db"))
    with pytest.raises(ReadError) as caught:
        read_rpm(tree.root)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert tree.probe()["rpm"].state is State.UNREADABLE


def test_rows_that_share_their_pages_are_bounded(
    tree: FakeRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.file(DATABASE, database(tmp_path / "db", [PERL] * 2000))
    monkeypatch.setattr(rpm, "MAX_PACKAGES", 1999)
    with pytest.raises(RpmError, match="2000 headers"):
        read_rpm(tree.root)
    monkeypatch.setattr(rpm, "MAX_PACKAGES", 2000)
    monkeypatch.setattr(rpm, "DATABASE_LIMIT_BYTES", 2000 * len(PERL) - 1)
    with pytest.raises(ValueError, match="2000 headers"):
        list(rpm._blobs((tmp_path / "db").read_bytes()))
    monkeypatch.setattr(rpm, "DATABASE_LIMIT_BYTES", 1 << 20)
    monkeypatch.setattr(rpm, "_MAX_STEPS", 0)
    with pytest.raises(RpmError, match="interrupted"):
        read_rpm(tree.root)


def test_a_database_broken_at_random_never_breaks_the_probe(tree: FakeRoot, tmp_path: Path) -> None:
    sound = database(tmp_path / "db", [CUDNN, GLIBC, PERL])
    seen: set[State] = set()
    for seed in range(100):
        chance = random.Random(seed)
        data = bytearray(sound)
        for _ in range(chance.randint(1, 30)):
            data[chance.randrange(16, len(data))] = chance.randrange(256)
        tree.file(DATABASE, bytes(data))
        fact = tree.probe()["rpm"]
        assert fact.is_found or fact.reason.startswith(f"not read: {DATABASE}: "), fact.reason
        assert fact.reason.isprintable()
        seen.add(fact.state)
    assert len(seen) == 2


SPEC = """\
Name: libcudnn9-cuda-12
Epoch: {epoch}
Version: 9.10.2.21
Release: 1
Summary: Stands in for cuDNN's package
License: none
BuildArch: x86_64
AutoReqProv: no
%description
None.
%install
mkdir -p %{{buildroot}}/usr/lib64
echo x > %{{buildroot}}/usr/lib64/libcudnn.so.9.10.2
%files
/usr/lib64/libcudnn.so.9.10.2
"""


@pytest.mark.parametrize("epoch", [0, 2])
def test_what_rpm_installed_is_read_as_rpm_lists_it(tree: FakeRoot, tmp_path: Path, epoch: int) -> None:
    if shutil.which("rpmbuild") is None:
        pytest.skip("rpmbuild is not installed; apt-get install rpm")
    spec = tmp_path / "package.spec"
    spec.write_text(SPEC.format(epoch=epoch))
    top = tmp_path / "build"
    tool(["rpmbuild", "-bb", "--target=x86_64", "--define", f"_topdir {top}", str(spec)])
    (built,) = top.rglob("*.rpm")
    place = ["--root", str(tree.path), "--dbpath", "/usr/lib/sysimage/rpm"]
    tool(["rpm", *place, "--nodeps", "--noscripts", "--ignoreos", "--ignorearch", "-i", str(built)])
    listed = tool(["rpm", *place, "-qa", "--qf", "%{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE}.%{ARCH}\n"])
    found = read_rpm(tree.root)
    assert found is not None
    assert [f"{p.name} {p.version if epoch else f'0:{p.version}'}.{p.architecture}" for p in found.packages] == (
        listed.split("\n")[:-1]
    )
    assert list(found.libraries) == ["/usr/lib64/libcudnn.so.9.10.2"]


def tool(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
