from __future__ import annotations

import stat
from pathlib import Path

import pytest

from portico._core.keyring import Keyring, Unopenable, file_key

KEYS = {"new": b"n" * 32, "old": b"o" * 32}


def test_a_secret_is_opened_at_its_place_and_nowhere_else() -> None:
    ring = Keyring(KEYS)
    sealed = ring.seal("hé", "upstreams.a.headers.x")
    assert sealed.startswith("new.")
    assert "hé" not in sealed
    assert ring.open(sealed, "upstreams.a.headers.x") == "hé"
    for place in ("upstreams.b.headers.x", "upstreams.a.headers.y", ""):
        with pytest.raises(Unopenable, match="another place"):
            ring.open(sealed, place)


def test_the_same_secret_is_never_sealed_alike() -> None:
    ring = Keyring(KEYS)
    assert ring.seal("x", "p") != ring.seal("x", "p")


def test_an_old_key_opens_until_it_is_taken_away_and_a_new_one_takes_over() -> None:
    sealed = Keyring({"old": KEYS["old"]}).seal("x", "p")
    both = Keyring(KEYS)
    assert both.open(sealed, "p") == "x"
    fresh = both.rewrapped(sealed, "p")
    assert both.rewrapped(fresh, "p") == fresh
    assert Keyring({"new": KEYS["new"]}).open(fresh, "p") == "x"
    with pytest.raises(Unopenable, match="'old'"):
        Keyring({"new": KEYS["new"]}).open(sealed, "p")


@pytest.mark.parametrize(
    "sealed", ["", "new", "new.", "new.!.!", "new.AAAA.AAAA", "new." + "A" * 100 + ".AA"]
)
def test_what_is_not_sealed_is_not_opened(sealed: str) -> None:
    with pytest.raises(Unopenable):
        Keyring(KEYS).open(sealed, "p")


def test_a_wrong_key_of_the_same_name_does_not_open() -> None:
    sealed = Keyring({"k": b"a" * 32}).seal("x", "p")
    with pytest.raises(Unopenable):
        Keyring({"k": b"b" * 32}).open(sealed, "p")


def test_a_key_file_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    key = file_key(path)
    assert len(key) == 64
    assert file_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
