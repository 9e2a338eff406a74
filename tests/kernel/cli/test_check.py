"""`gateway check`: every problem in one run; what only starting shows with `--connect`."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.kernel.cli.conftest import SMALL, Finished

Cli = Callable[..., Result]
Process = Callable[..., Finished]
ONE = f"[upstreams.one]\nuse = 'mcp'\ncommand = {json.dumps(SMALL)}\n"


def test_a_good_file_has_no_problems_and_opens_no_socket(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    (tmp_path / "gateway.toml").write_text(
        ONE + "[upstreams.two]\nuse = 'mcp'\nurl = 'http://127.0.0.1:9/mcp'\n"
    )
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    result = cli("check")
    assert result.exit_code == 0, result.output
    assert "gateway.toml: the configuration has no problems (1 virtual server, 2 upstreams" in result.stdout


def test_every_problem_is_reported_in_one_run_and_for_machines(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[gateway]\nlisten = ['x']\n[upstreams.a]\nuse = 'mpc'\n[sevrers.b]\n"
    )
    people = cli("check")
    assert people.exit_code == 2
    assert people.stderr.startswith("gateway.toml: 3 problems\n")
    machines = cli("check", "--json")
    assert machines.exit_code == 2
    report = json.loads(machines.stdout)
    assert report["ok"] is False
    assert sorted(each["path"] for each in report["problems"]) == [
        "gateway.listen",
        "sevrers",
        "upstreams.a.use",
    ]


def test_a_credential_that_lacks_what_its_upstream_cannot_say_is_a_problem(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[credentials.id]\nuse = 'client_credentials'\nclient_id = 'me'\nclient_secret = 'x'\n"
        "[upstreams.two]\nuse = 'mcp'\nurl = 'http://127.0.0.1:9/mcp'\ncredential = 'id'\n"
    )
    result = cli("check")
    assert result.exit_code == 2
    assert "upstreams.two.credential" in result.stderr
    assert "set credentials.id.token_url" in result.stderr


def test_connect_reports_state_era_and_counts(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        ONE + "[upstreams.two]\nuse = 'mcp'\ncommand = ['no-such-program-here']\n"
    )
    done = process("check", "--connect", "--json")
    assert done.returncode == 1
    upstreams = json.loads(done.stdout)["upstreams"]
    assert upstreams["one"] == {
        "state": "ready",
        "tools": 4,
        "resources": 3,
        "prompts": 1,
        "eras": ["legacy"],
    }
    assert upstreams["two"]["state"] == "unavailable"
    assert upstreams["two"]["reason"]
    people = process("check", "--connect")
    assert people.returncode == 1
    assert re.search(r"\none +ready +legacy +4 tools, 3 resources, 1 prompt", people.stdout)


def test_connect_reports_names_that_two_upstreams_claim(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        ONE + ONE.replace("one", "two") + "[servers.default]\nprefix = 'never'\n"
    )
    done = process("check", "--connect")
    assert done.returncode == 2
    assert "'add' of server 'default' is claimed twice: 'one' has it, 'two' is left out" in done.stdout


def test_connect_shows_what_only_starting_can(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[auth.people]\nuse = 'token'\ntokens = { me = 'short' }\n")
    assert process("check").returncode == 0
    done = process("check", "--connect")
    assert done.returncode == 2
    assert "auth.people.tokens.me" in done.stderr


def _problems(result: Result) -> dict[str, str]:
    """By their paths, as machines get them."""
    report = json.loads(result.stdout)
    assert result.exit_code == (2 if report["problems"] else 0)
    return {each["path"]: each["message"] for each in report["problems"]}


def test_programs_and_scripts_that_are_not_there_are_told_with_the_nearest(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "server.py").touch()
    (tmp_path / "tool").touch(mode=0o600)
    (tmp_path / "sub").mkdir()
    (tmp_path / "gateway.toml").write_text(
        "[upstreams]\n"
        "good = { use = 'mcp', command = ['python', 'server.py'] }\n"
        "module = { use = 'mcp', command = ['python', '-m', 'some.module'] }\n"
        "typo = { use = 'mcp', command = ['mcp-server-tme', 'x'] }\n"
        "script = { use = 'mcp', command = ['python', 'servr.py'] }\n"
        "elsewhere = { use = 'mcp', command = ['python', 'server.py'], cwd = 'sub' }\n"
        "nowhere = { use = 'mcp', command = ['./tool'], cwd = 'sup' }\n"
        "path = { use = 'mcp', command = ['./tol'] }\n"
        "unrunnable = { use = 'mcp', command = ['./tool'] }\n"
        "launched = { use = 'mcp', url = 'http://127.0.0.1:{port}/mcp', launch = ['no-such-program-x'] }\n"
    )
    assert _problems(cli("check", "--json")) == {
        "upstreams.typo.command[0]": (
            "expected a program, but there is no 'mcp-server-tme' in PATH; did you mean 'mcp-server-time'?"
        ),
        "upstreams.script.command[1]": (
            f"expected a file, but there is no {tmp_path}/servr.py; did you mean 'server.py'?"
        ),
        "upstreams.elsewhere.command[1]": f"expected a file, but there is no {tmp_path}/sub/server.py",
        "upstreams.nowhere.cwd": f"expected a folder, but there is no {tmp_path}/sup; did you mean 'sub'?",
        "upstreams.path.command[0]": (
            f"expected a file, but there is no {tmp_path}/tol; did you mean 'tool'?"
        ),
        "upstreams.unrunnable.command[0]": f"expected a program, but {tmp_path}/tool is not executable",
        "upstreams.launched.launch[0]": ("expected a program, but there is no 'no-such-program-x' in PATH"),
    }
    people = cli("check")
    assert people.exit_code == 2
    assert "upstreams.typo.command[0] " in people.stderr


def test_files_that_are_not_there_or_no_good_are_told_with_the_problems_of_the_table(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "petstore.json").write_text("{")
    (tmp_path / "new.json").write_text('{"openapi": "4.0.0"}')
    (tmp_path / "empty.pem").touch()
    (tmp_path / "protos").mkdir()
    (tmp_path / "gateway.toml").write_text(
        "[upstreams.typo]\nuse = 'rest'\nopenapi_file = 'petstor.json'\n"
        "[upstreams.cut]\nuse = 'rest'\nopenapi_file = 'petstore.json'\nca_file = 'empty.pem'\n"
        "[upstreams.new]\nuse = 'rest'\nopenapi_file = 'new.json'\n"
        "[upstreams.inline]\nuse = 'rest'\nopenapi_inline = { openapi = '3.0.0' }\n"
        "[upstreams.wrong]\nuse = 'rest'\nopenapi_fil = 'petstore.json'\n"
        "[upstreams.rpc]\nuse = 'grpc'\nurl = 'grpc://127.0.0.1:9'\nprotos = ['proto', 'protos']\n"
        "[upstreams.rpc2]\nuse = 'grpc'\nurl = 'grpcs://127.0.0.1:9'\ndescriptors = 'set.pb'\n"
        "client_cert = 'empty.pem'\nclient_key = 'empty.pem'\n"
        "[upstreams.agent]\nuse = 'a2a'\nurl = 'http://127.0.0.1:9'\nsigners = { file = 'keys.json' }\n"
        "[transports.a2a]\nsigning_key = 'sign.pem'\n"
        "[transports.management_api]\ncatalog = 'catalog.json'\n"
        "[listeners.http]\nuse = 'hypercorn'\ncertfile = 'empty.pem'\nkeyfile = 'empty.pem'\n"
        "[auth.token]\nfile = 'tokens'\n"
    )
    wrong = _problems(cli("check", "--json"))
    missing = {
        place: text.rpartition("there is no ")[2] for place, text in wrong.items() if "there is no " in text
    }
    assert missing == {
        "upstreams.typo.openapi_file": f"{tmp_path}/petstor.json; did you mean 'petstore.json'?",
        "upstreams.rpc.protos[0]": f"{tmp_path}/proto; did you mean 'protos'?",
        "upstreams.rpc2.descriptors": f"{tmp_path}/set.pb",
        "upstreams.agent.signers.file": f"{tmp_path}/keys.json",
        "transports.a2a.signing_key": f"{tmp_path}/sign.pem",
        "transports.management_api.catalog": f"{tmp_path}/catalog.json",
        "auth.token.file": f"{tmp_path}/tokens",
    }
    assert wrong["upstreams.cut.openapi_file"].startswith("the document is not JSON")
    assert wrong["upstreams.new.openapi_file"].startswith("OpenAPI '4.0.0' is not supported")
    assert wrong["upstreams.inline.openapi_inline"] == "`paths` is missing"
    assert wrong["upstreams.cut.ca_file"].startswith("expected certificates in PEM form")
    assert wrong["upstreams.rpc.protos[1]"].startswith("expected .proto files, but there is none in ")
    assert wrong["upstreams.rpc2.client_cert"].startswith("cannot be used with its key: ")
    assert wrong["listeners.http.certfile"].startswith("cannot be used with its key: ")
    assert wrong["upstreams.wrong.openapi_fil"] == "unknown key; did you mean 'openapi_file'?"


def test_keys_and_descriptor_sets_of_no_use_are_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "set.pb").write_bytes(b"\x0a\xff")
    (tmp_path / "sign.pem").write_text("-----BEGIN CERTIFICATE-----")
    (tmp_path / "empty.pem").touch()
    (tmp_path / "gateway.toml").write_text(
        "[upstreams.rpc]\nuse = 'grpc'\nurl = 'grpc://127.0.0.1:9'\ndescriptors = 'set.pb'\n"
        "[transports.a2a]\nsigning_key = 'sign.pem'\n[transports.a2a.grpc]\nlisten = '127.0.0.1:0'\n"
        "certfile = 'empty.pem'\nkeyfile = 'empty.pem'\nca_certs = 'empty.pem'\n"
    )
    wrong = _problems(cli("check", "--json"))
    assert wrong.pop("transports.a2a.grpc.certfile").startswith("cannot be used with its key: ")
    assert wrong.pop("transports.a2a.grpc.ca_certs").startswith("expected certificates in PEM form")
    assert wrong == {
        "upstreams.rpc.descriptors": "the file is no descriptor set",
        "transports.a2a.signing_key": "no private key in PEM form, or one with a password",
    }


def test_an_extra_that_is_not_installed_is_told_where_it_is_needed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portico_plugins.extras import missing

    monkeypatch.setitem(sys.modules, "a2a", None)  # as though it were not installed
    monkeypatch.setitem(sys.modules, "grpc_reflection", None)
    (tmp_path / "gateway.toml").write_text(
        "[upstreams.rpc]\nuse = 'grpc'\nurl = 'grpc://127.0.0.1:9'\n"
        "[upstreams.agent]\nuse = 'a2a'\nurl = 'http://127.0.0.1:9'\n[transports.a2a]\n"
    )
    missing.cache_clear()
    try:
        wrong = _problems(cli("check", "--json"))
    finally:
        missing.cache_clear()
    assert set(wrong) == {"upstreams.rpc.url", "upstreams.agent.url", "transports.a2a"}
    assert wrong["transports.a2a"] == (
        "this transport needs a2a-sdk, which is not installed: pip install 'portico[a2a]'"
    )
    assert "pip install 'portico[grpc]'" in wrong["upstreams.rpc.url"]


def test_looking_imports_no_library_that_serving_would(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[upstreams.rpc]\nuse = 'grpc'\nurl = 'grpc://127.0.0.1:9'\ndescriptors = 'none.pb'\n"
        "[upstreams.agent]\nuse = 'a2a'\nurl = 'http://127.0.0.1:9'\n[transports.a2a]\n"
        "[upstreams.tool]\nuse = 'mcp'\ncommand = ['no-such-program-here']\n"
        "[registries.main]\nuse = 'sql'\n"
    )
    code = (
        "import sys\nfrom portico.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code)\n"
        "heavy = {'a2a', 'grpc', 'google.protobuf', 'mcp', 'sqlalchemy', 'hypercorn'}\n"
        "print(*sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["2"], done.stderr
    assert "upstreams.rpc.descriptors" in done.stderr
    assert "upstreams.tool.command[0]" in done.stderr


def test_upstreams_that_are_started_say_themselves_what_they_lack(process: Process, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[upstreams.one]\nuse = 'rest'\nopenapi_file = 'none.json'\n[auth.token]\nfile = 'tokens'\n"
    )
    done = process("check", "--connect", "--json")
    assert done.returncode == 2
    assert [each["path"] for each in json.loads(done.stdout)["problems"]] == ["auth.token.file"]


def test_files_are_looked_for_beside_the_configuration_wherever_one_is(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "empty.pem").touch()
    pair = "client_cert = 'empty.pem'\nclient_key = 'empty.pem'\n"
    (folder / "gateway.toml").write_text(
        "[upstreams.api]\nuse = 'rest'\nbase_url = 'https://127.0.0.1:9'\ntools = { a = { path = '/' } }\n"
        f"ca_file = 'empty.pem'\n{pair}"
        f"[upstreams.rpc]\nuse = 'grpc'\nurl = 'grpcs://127.0.0.1:9'\n{pair}"
        "[upstreams.mcp]\nuse = 'mcp'\nurl = 'https://127.0.0.1:9/mcp'\nca_file = 'empty.pem'\n"
        "[upstreams.agent]\nuse = 'a2a'\nurl = 'https://127.0.0.1:9'\nca_file = 'empty.pem'\n"
        "[listeners.http]\nuse = 'hypercorn'\ncertfile = 'empty.pem'\nkeyfile = 'empty.pem'\n"
    )
    wrong = _problems(cli("check", "--json", "--config", "etc/gateway.toml"))
    assert {place: text.split(":")[0].partition(" in PEM")[0] for place, text in wrong.items()} == {
        "upstreams.api.ca_file": "expected certificates",
        "upstreams.api.client_cert": "cannot be used with its key",
        "upstreams.rpc.client_cert": "cannot be used with its key",
        "upstreams.mcp.ca_file": "expected certificates",
        "upstreams.agent.ca_file": "expected certificates",
        "listeners.http.certfile": "cannot be used with its key",
    }
    assert "No such file" not in wrong["listeners.http.certfile"]
