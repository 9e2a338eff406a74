"""The `token` scheme: where its tokens come from, and what it makes of a request's credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from portico.api import Challenge, ConfigError, Credentials, Principal, Secret
from portico.testing import make_host
from portico_plugins.auth.token import TOKEN, TokenConfig

GOOD = "0123456789abcdef"


def credentials(**headers: str) -> Credentials:
    return Credentials(headers, "127.0.0.1", "default")


async def judge(config: TokenConfig, authorization: str | None, base: Path | None = None) -> object:
    async with TOKEN.create(config, make_host("people", "auth", base=base)) as scheme:
        given = credentials() if authorization is None else credentials(authorization=authorization)
        return await scheme.authenticate(given)


async def problems(config: TokenConfig, base: Path | None = None) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        await judge(config, None, base)
    return caught.value.problems


def configured(**tokens: str) -> TokenConfig:
    return TokenConfig({subject: Secret(token) for subject, token in tokens.items()})


async def test_a_known_token_is_its_subject() -> None:
    config = configured(a=GOOD, b="fedcba9876543210")
    assert await judge(config, "Bearer fedcba9876543210") == Principal("b", "people")


@pytest.mark.parametrize("space", ["Bearer  {}", "Bearer {} ", "bearer {}\t"])
async def test_space_around_a_token_does_not_matter(space: str) -> None:
    assert await judge(configured(a=GOOD), space.format(GOOD)) == Principal("a", "people")


@pytest.mark.parametrize("wrong", [GOOD[:-1], GOOD + "0", GOOD.upper(), "", "\xff\xfe", f"{GOOD}, {GOOD}"])
async def test_an_unknown_token_is_challenged(wrong: str) -> None:
    verdict = await judge(configured(a=GOOD), f"Bearer {wrong}")
    assert isinstance(verdict, Challenge)
    assert (verdict.status, verdict.reason) == (401, "invalid_token")


async def test_no_credential_is_challenged_without_an_error() -> None:
    verdict = await judge(configured(a=GOOD), None)
    assert verdict == Challenge(401, (("WWW-Authenticate", "Bearer"),), "missing")


@pytest.mark.parametrize("other", ["Basic YTpi", "DPoP abc", GOOD, ""])
async def test_another_scheme_is_not_ours(other: str) -> None:
    assert await judge(configured(a=GOOD), other) is None


async def test_nothing_of_a_token_shows() -> None:
    async with TOKEN.create(configured(a=GOOD), make_host("people", "auth")) as scheme:
        assert GOOD not in repr(scheme)
        assert GOOD not in repr(vars(scheme))


# --- the file ---------------------------------------------------------------------------------------------


async def test_a_file_has_a_subject_and_a_token_a_line(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# people\n\n ada : {GOOD}\n#bob:{GOOD}1\nci/main:a:b:c-0123456789\n")
    config = TokenConfig(file=Path("tokens"))
    assert await judge(config, f"Bearer {GOOD}", tmp_path) == Principal("ada", "people")
    assert await judge(config, "Bearer a:b:c-0123456789", tmp_path) == Principal("ci/main", "people")
    assert isinstance(await judge(config, f"Bearer {GOOD}1", tmp_path), Challenge)


async def test_a_file_saved_on_windows_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(b"\xef\xbb\xbfada:" + GOOD.encode() + b"\r\n")
    assert await judge(TokenConfig(file=Path("tokens")), f"Bearer {GOOD}", tmp_path) == Principal(
        "ada", "people"
    )


async def test_a_file_and_the_config_add_up(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("ada:fedcba9876543210")
    config = TokenConfig({"bob": Secret(GOOD)}, Path("tokens"))
    assert await judge(config, f"Bearer {GOOD}", tmp_path) == Principal("bob", "people")
    assert await judge(config, "Bearer fedcba9876543210", tmp_path) == Principal("ada", "people")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ada", "subject:token"),
        (f":{GOOD}", "subject:token"),
        ("ada:", "subject:token"),
        (f"ada:{GOOD}\nada:{GOOD}1", "twice"),
        ("ada:short", "at least 16"),
        (f"ada:{GOOD}\nbob:{GOOD}", "same token"),
        ("# nobody", "at least one token"),
        (f"ada:{GOOD} {GOOD}", "ASCII"),
        (f"ada:{GOOD}ü", "ASCII"),
    ],
)
async def test_a_bad_file_is_refused_with_the_place(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "tokens").write_text(text, "utf-8")
    ((path, message),) = await problems(TokenConfig(file=Path("tokens")), tmp_path)
    assert path.startswith("auth.people")
    assert word in message
    assert GOOD not in message


async def test_every_bad_line_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ada\nbob:{GOOD}\nbob:x\n:y")
    found = await problems(TokenConfig(file=Path("tokens")), tmp_path)
    assert [message.partition(":")[0] for _, message in found] == ["line 1", "line 3", "line 4"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
async def test_a_file_that_cannot_be_read_is_refused_with_its_name(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "tokens").write_bytes(content)
    ((path, message),) = await problems(TokenConfig(file=Path("tokens")), tmp_path)
    assert path == "auth.people.file"
    assert "tokens" in message


async def test_a_subject_in_both_the_file_and_the_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("ada:fedcba9876543210")
    ((path, message),) = await problems(TokenConfig({"ada": Secret(GOOD)}, Path("tokens")), tmp_path)
    assert path == "auth.people.file"
    assert "'ada'" in message


@pytest.mark.parametrize(
    ("tokens", "where"),
    [
        ({}, "auth.people"),
        ({"a": "short"}, "auth.people.tokens.a"),
        ({"a": GOOD, "b": GOOD}, "auth.people"),
        ({"a": GOOD + "é"}, "auth.people.tokens.a"),
        ({"a": GOOD + "\n" + GOOD}, "auth.people.tokens.a"),
    ],
)
async def test_bad_tokens_in_the_config_are_refused_with_their_place(
    tokens: dict[str, str], where: str
) -> None:
    ((path, message),) = await problems(configured(**tokens))
    assert path == where
    assert GOOD not in message
