"""A folder of files that people, git, and several processes change."""

from __future__ import annotations

import asyncio
import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.api import About, Author, Change, Record, Registry, RegistryDown, Stale
from portico.testing import RecordingLog, make_host
from portico_plugins.registries.file import FILE, FileConfig

ALICE = Author("alice")


def put(name: str, expected: int | None = None, **config: Any) -> Change:
    return Change("upstreams", name, config, expected=expected)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@asynccontextmanager
async def opened(root: Path, log: RecordingLog | None = None) -> AsyncIterator[Registry]:
    host = make_host("main", "registries", log=log or RecordingLog())
    async with asyncio.timeout(60), FILE.create(FileConfig(root), host) as registry:
        yield registry


async def records(registry: Registry) -> dict[str, Record]:
    return {record.name: record for record in (await registry.load())[1]}


def file_of(root: Path, name: str) -> Path:
    return root / "upstreams" / f"{name}.toml"


async def until(registry: Registry, revision: int) -> None:
    """Wait until it has come to a revision, by watching."""
    async with registry.watch() as following:
        while (await registry.load())[0] < revision:
            await following()


async def test_a_record_is_a_file_of_its_own_and_goes_with_it(root: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a", use="mcp"), put("Two/é", n=1)], ALICE)
        assert file_of(root, "a").read_text() == '[config]\nuse = "mcp"\n'
        assert {path.name for path in (root / "upstreams").iterdir()} == {"a.toml", "%54wo%2f%c3%a9.toml"}
        await registry.write([Change("upstreams", "a", None)], ALICE)
        assert not file_of(root, "a").exists()


async def test_git_is_told_of_nothing_but_records(root: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a")], ALICE)
    assert (root / ".portico" / ".gitignore").read_text() == "*\n"
    assert {path.name for path in root.iterdir()} == {".portico", "upstreams"}


async def test_what_people_do_to_files_is_one_change_by_the_file(root: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a", n=1), put("b"), put("same", n=1)], ALICE)
        file_of(root, "a").write_text("# mine\n[config]\nn = 2\n[about]\ntags = ['t']\n")
        file_of(root, "b").unlink()
        file_of(root, "same").write_text("config.n = 1 # the same\n")
        file_of(root, "c").write_text("[config]\n")
        await until(registry, 2)
        found = await records(registry)
        assert sorted(found) == ["a", "c", "same"]
        a = found["a"]
        assert (a.config, a.about, a.version) == ({"n": 2}, About(tags=("t",)), 2)
        assert (a.created_by, a.updated_by, a.via) == ("alice", "file", "file")
        lines = [(entry.revision, entry.name) for entry in await registry.history() if entry.revision > 1]
        assert sorted(lines) == [(2, "a"), (2, "b"), (2, "c")]
        assert file_of(root, "a").read_text().startswith("# mine")


async def test_several_registries_make_one_change_of_an_edit(root: Path) -> None:
    async with opened(root) as one, opened(root) as two:
        await one.write([put("a")], ALICE)
        await two.load()
        file_of(root, "a").write_text("[config]\nn = 1\n")
        await asyncio.gather(until(one, 2), until(two, 2))
        assert [(entry.revision, entry.version) for entry in await two.history()] == [(2, 2), (1, 1)]
        assert await one.load() == await two.load()


async def test_an_edit_made_while_nobody_looked_is_there_at_once(root: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a")], ALICE)
    file_of(root, "a").write_text("[config]\nn = 1\n")
    async with opened(root) as registry:
        assert (await records(registry))["a"].config == {"n": 1}


async def test_files_that_were_there_first_are_records(root: Path) -> None:
    (root / "upstreams").mkdir(parents=True)
    file_of(root, "GitHub").write_text("[config]\nuse = 'mcp'\n")
    file_of(root, "anything").write_text(f"name = '{'x' * 400}'\n[config]\n")
    (root / "upstreams" / "README.md").write_text("Ours.")
    async with opened(root) as registry:
        revision, found = await registry.load()
        assert (revision, [record.name for record in found]) == (1, ["GitHub", "x" * 400])
        await registry.write([put("GitHub", n=1), put("x" * 400, n=1)], ALICE)
        assert "n = 1" in file_of(root, "GitHub").read_text()
        assert "n = 1" in file_of(root, "anything").read_text()
        assert len(list((root / "upstreams").iterdir())) == 3


async def test_a_write_does_not_cover_what_somebody_has_just_edited(root: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a")], ALICE)
        file_of(root, "a").write_text("[config]\nn = 1\n")
        with pytest.raises(Stale) as stale:
            await registry.write([put("a", 1, n=2)], ALICE)
        assert stale.value.found == 2
        assert (await records(registry))["a"].config == {"n": 1}


async def test_a_file_that_is_broken_leaves_the_record_as_it_was(root: Path) -> None:
    log = RecordingLog()
    async with opened(root, log) as registry:
        await registry.write([put("a", n=1), put("b"), put("X" * 300)], ALICE)
        file_of(root, "a").write_text("[config")
        for path in (root / "upstreams").glob("*~*"):
            path.write_text("")
        file_of(root, "b").write_text("[config]\nn = 2\n")
        await until(registry, 2)
        [one, two] = [line for line in log.lines if line.event == "registry.file_left_out"]
        assert {one.facts["path"], two.facts["path"]} > {str(file_of(root, "a"))}
    async with opened(root) as registry:  # who opens it now does not know whose the files were
        found = await records(registry)
        assert (found["a"].config, found["b"].config, len(found)) == ({"n": 1}, {"n": 2}, 3)
        assert await registry.write([put("a", n=3)], ALICE) == 3
        assert file_of(root, "a").read_text() == "[config]\nn = 3\n"


async def test_two_files_of_one_record_are_no_two_records(root: Path) -> None:
    log = RecordingLog()
    async with opened(root, log) as registry:
        await registry.write([put("a", n=1)], ALICE)
        file_of(root, "A-copy").write_text("name = 'a'\n[config]\nn = 2\n")
        file_of(root, "b").write_text("[config]\n")
        await until(registry, 2)
        assert (await records(registry))["a"].config == {"n": 1}
        assert "a.toml" in log.lines[-1].facts["problem"]


async def test_a_name_that_a_file_has_already_gets_another_file(root: Path) -> None:
    (root / "upstreams").mkdir(parents=True)
    file_of(root, "b").write_text("name = 'a'\n[config]\n")
    async with opened(root) as registry:
        await registry.write([put("b", n=1)], ALICE)
        found = await records(registry)
        assert {name: one.config for name, one in found.items()} == {"a": {}, "b": {"n": 1}}
    async with opened(root) as registry:
        assert len(await records(registry)) == 2
        assert (await registry.load())[0] == 2


async def test_links_that_lead_outside_are_refused(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "upstreams").mkdir(parents=True)
    (outside / "upstreams" / "secret.toml").write_text("[config]\nmine = true\n")
    (root / "upstreams").mkdir(parents=True)
    file_of(root, "real").write_text("[config]\n")
    file_of(root, "link").symlink_to("real.toml")
    file_of(root, "secret").symlink_to(outside / "upstreams" / "secret.toml")
    (root / "servers").symlink_to(outside / "upstreams")
    log = RecordingLog()
    async with opened(root, log) as registry:
        assert sorted(await records(registry)) == ["link", "real"]
        assert {line.facts["path"] for line in log.lines} == {
            str(file_of(root, "secret")),
            str(root / "servers"),
        }
        with pytest.raises(RegistryDown, match="link"):
            await registry.write([put("real", n=1), Change("servers", "x", {})], ALICE)
        assert (await registry.load())[0] == 1
        await registry.write([put("secret", n=1)], ALICE)
    assert not file_of(root, "secret").is_symlink()
    assert (outside / "upstreams" / "secret.toml").read_text() == "[config]\nmine = true\n"


async def test_a_state_folder_that_leads_outside_is_refused(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (root / ".portico").symlink_to(tmp_path / "outside")
    async with opened(root) as registry:
        with pytest.raises(RegistryDown, match="link"):
            await registry.load()


# --- what is left by a process that was killed -----------------------------------------------------------


@pytest.fixture
async def killed(root: Path, tmp_path: Path) -> Path:
    """A folder as it is when a process is killed right after a write of three records was kept."""
    async with opened(root) as registry:
        await registry.write([put("changed", n=1), put("deleted"), put("other")], ALICE)
        before = tmp_path / "before"
        shutil.copytree(root, before)
        changes = [put("changed", n=2), Change("upstreams", "deleted", None), put("made", n=3)]
        await registry.write(changes, Author("bob"))
    shutil.copy(root / ".portico" / "audit.jsonl", before / ".portico" / "audit.jsonl")
    return before


async def test_files_that_were_not_come_to_are_made_up_for(killed: Path) -> None:
    async with opened(killed) as registry:
        revision, found = await registry.load()
        assert revision == 2
        assert {each.name: (each.config, each.updated_by) for each in found} == {
            "changed": ({"n": 2}, "bob"),
            "made": ({"n": 3}, "bob"),
            "other": ({}, "alice"),
        }
        assert len(await registry.history()) == 6
    assert file_of(killed, "changed").read_text() == "[config]\nn = 2\n"
    assert file_of(killed, "made").exists()
    assert not file_of(killed, "deleted").exists()


async def test_a_broken_file_does_not_keep_others_from_being_made_up_for(killed: Path) -> None:
    file_of(killed, "nobody's").write_text("[config")
    async with opened(killed) as registry:
        assert (await registry.load())[0] == 2
    assert file_of(killed, "made").exists()


async def test_what_was_edited_since_is_a_change_of_its_own(killed: Path) -> None:
    file_of(killed, "changed").write_text("[config]\nn = 5\n")
    async with opened(killed) as registry:
        revision, _ = await registry.load()
        found = await records(registry)
        assert (revision, found["changed"].config, found["changed"].version) == (3, {"n": 5}, 3)
        assert found["made"].config == {"n": 3}


async def test_a_write_that_was_not_finished_was_not_made(root: Path) -> None:
    log = RecordingLog()
    async with opened(root) as registry:
        await registry.write([put("a", n=1)], ALICE)
        await registry.write([put("a", n=2)], ALICE)
    trail = root / ".portico" / "audit.jsonl"
    first, second, _ = trail.read_bytes().split(b"\n")
    for rest in (second[:-10], b"\0" * 20, second[:50] + b"\0" * 20 + b"\n"):
        trail.write_bytes(first + b"\n" + rest)
        file_of(root, "a").write_text("[config]\nn = 1\n")
        (root / ".portico" / "applied").write_text("1")
        async with opened(root, log) as registry:
            assert (await registry.load())[0] == 1
            assert await registry.write([put("b")], ALICE) == 2
            assert await registry.write([Change("upstreams", "b", None)], ALICE) == 3
        assert log.events[-1] == "registry.unfinished"
        lines = trail.read_bytes().splitlines()
        assert [msgspec.json.decode(line)["revision"] for line in lines] == [1, 2, 3]


async def test_a_trail_that_is_broken_in_its_middle_is_said(root: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a")], ALICE)
        await registry.write([put("b")], ALICE)
    trail = root / ".portico" / "audit.jsonl"
    trail.write_bytes(b"x" + trail.read_bytes())
    async with opened(root) as registry:
        with pytest.raises(RegistryDown, match="byte 0"):
            await registry.load()


# --- when it cannot be written to ------------------------------------------------------------------------


@contextmanager
def full(size: int) -> Iterator[None]:
    """No file can grow beyond a size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_nothing_is_half_done_when_there_is_no_room(root: Path) -> None:
    trail = root / ".portico" / "audit.jsonl"
    async with opened(root) as registry:
        await registry.write([put("a", n=1), put("b")], ALICE)
        kept = trail.read_bytes()
        with full(len(kept) + 100):  # room for the files and for a part of the line
            with pytest.raises(RegistryDown):
                await registry.write([put("a", n=2), put("c")], ALICE)
            assert trail.read_bytes() == kept
            assert (await registry.load())[0] == 1
        assert file_of(root, "a").read_text() == "[config]\nn = 1\n"
        assert not file_of(root, "c").exists()
        assert await registry.write([put("a", n=2), put("c")], ALICE) == 2
        assert sorted(await records(registry)) == ["a", "b", "c"]


async def test_edits_wait_while_there_is_no_room_and_records_stay(root: Path) -> None:
    log = RecordingLog()
    async with opened(root) as registry:
        await registry.write([put("a", n=1)], ALICE)
    file_of(root, "a").write_text("[config]\nn = 2\n")
    async with opened(root, log) as registry:
        with full(1):
            assert (await records(registry))["a"].config == {"n": 1}
            await registry.load()
        assert log.events == ["registry.edits_wait"]
        assert (await records(registry))["a"].config == {"n": 2}


async def test_a_folder_that_goes_away_is_no_empty_one(root: Path, tmp_path: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a")], ALICE)
        root.rename(tmp_path / "elsewhere")
        with pytest.raises(RegistryDown):
            await registry.load()
        with pytest.raises(RegistryDown):
            await registry.write([put("b")], ALICE)
        async with registry.watch() as following:
            with pytest.raises(RegistryDown):
                await following()
        assert not root.exists()
        (tmp_path / "elsewhere").rename(root)
        assert len(await records(registry)) == 1


async def test_files_are_for_nobody_else_unless_they_were(root: Path) -> None:
    async with opened(root) as registry:
        await registry.write([put("a"), put("b")], ALICE)
        file_of(root, "b").chmod(0o644)
        await registry.write([put("a", n=1), put("b", n=1)], ALICE)
    assert [file_of(root, name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o644]
    assert (root / ".portico" / "audit.jsonl").stat().st_mode & 0o777 == 0o600
