"""Versions, going back, and trying prompts out, from the command line to a real gateway and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from click.testing import Result

from tests.kernel.cli.running import gateway

Cli = Callable[..., Result]


async def test_a_prompt_goes_back_to_what_it_was(cli: Cli) -> None:
    async with gateway() as url:

        async def run(*args: str, code: int = 0) -> str:
            result = await asyncio.to_thread(cli, *args, "--gateway", url)
            assert result.exit_code == code, result.output
            return result.output

        argument = 'arguments=[{name = "who"}]'
        await run("prompts", "add", "greet", "--set", "template=Hello {{ who }}", "--set", argument)
        assert "has no version before this one" in await run("prompts", "rollback", "greet", code=1)
        await run("prompts", "edit", "greet", "--set", "template=Bye {{ who }}")
        assert await run("prompts", "render", "greet", "who=Ada") == "user: Bye Ada\n"
        tried = await run("prompts", "render", "greet", "who=Ada", "--set", "template=Hi {{ who|upper }}")
        assert tried == "user: Hi ADA\n"
        wrong = await run("prompts", "render", "greet", "--set", "template=Hi {{ whom }}", code=2)
        assert "prompts.greet.template  line 1: 'whom' is unknown; there are: who" in wrong

        listed = (await run("prompts", "versions", "greet")).splitlines()
        assert [row.split()[0] for row in listed] == ["VERSION", "2", "1"]
        assert listed[1].split()[1] == "*"
        assert listed[1].endswith("anonymous  cli  config.template")

        assert "greet would be as in version 1" in await run("prompts", "rollback", "greet", "--dry-run")
        assert "greet is as in version 1; that is version 3" in await run("prompts", "rollback", "greet")
        assert await run("prompts", "render", "greet", "who=Ada") == "user: Hello Ada\n"
        assert "there is no version 7; the newest is 3" in await run(
            "prompts", "rollback", "greet", "7", code=2
        )
        await run("prompts", "rollback", "greet", "2", "--if-version", "1", code=2)

        await run("prompts", "rm", "greet")
        assert "as in version 3" in await run("prompts", "rollback", "greet")
        shown = json.loads(await run("prompts", "show", "greet", "--json"))
        assert (shown["version"], shown["config"]["template"]) == (1, "Hello {{ who }}")
        assert "nobody" in await run("prompts", "versions", "nobody", code=1)
