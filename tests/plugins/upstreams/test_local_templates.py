"""Templates: what they can do, and that nothing else is possible with them, whoever writes them."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico_plugins.upstreams.local import templates
from portico_plugins.upstreams.local.templates.budget import Budget, TooMuch

NAMES = ("who", "list")
WORK = 5_000_000


def filled(template: str, work: int = WORK, output: int = 1_000_000, **values: str) -> str:
    assert templates.problem(template, tuple(values)) == ""
    return templates.render(template, values, Budget(work, output))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {{ who }}!\n", "Hello Ada!\n"),
        ("{# nothing #}{% raw %}{{ who }}{% endraw %}", "{{ who }}"),
        (
            "{{ who|upper }} {{ who ~ 1 }} {{ who|replace('A', 'a') }} {{ who[:1] }} {{ who|length }}",
            "ADA Ada1 ada A 3",
        ),
        (
            "{% for x in list|split(',') %}{{loop.index}}{{x|trim}}{{ '' if loop.last else 1 }}{% endfor %}",
            "1a12b",
        ),
        ("{% for i in range(4) if i is odd %}{{ i }}{% else %}none{% endfor %}", "13"),
        ("{% for k, v in {'a': 1, 'b': who}|items %}{{ k }}={{ v }} {% endfor %}", "a=1 b=Ada "),
        (
            "{% set s = namespace(n=0) %}{% for i in range(4) %}{% set s.n = s.n + i %}{% endfor %}{{ s.n }}",
            "6",
        ),
        ("{% if who == 'Ada' and 'd' in who %}yes{% elif not who %}no{% endif %}", "yes"),
        ("{% set q %}<{{ who }}>{% endset %}{{ q|e }} {{ [who, q]|join('+') }}", "&lt;Ada&gt; Ada+<Ada>"),
        (
            "{% filter upper %}{{ who }}{% endfilter %}{% with b = 7 // 2 + 2 ** 3 %}{{ b }}{% endwith %}",
            "ADA11",
        ),
        (
            "{{ {'who': who}|tojson }} {{ 'a b'|urlencode }} {{ '2'|int + 1.5 }} {{ none }}",
            '{"who": "Ada"} a%20b 3.5 ',
        ),
        ("{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{{ list|split(',')|sort|reverse|join('.') }} {{ list|lines|first|trim }}", "a. b a, b"),
        (
            "{{ 'line\nline'|indent(2) }} {{ 'abcdef'|truncate(4) }} {{ '3,1'|split(',')|max }}",
            "line\n  line a... 3",
        ),
    ],
)
def test_a_template_is_filled_in(template: str, text: str) -> None:
    assert filled(template, who="Ada", list="a, b") == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ who.__class__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('id') }}",
        "{{ self.__init__ }}",
        "{{ self }}",
        "{{ '{0.__class__}'.format(who) }}",
        "{{ '{0.__class__}'.format_map({}) }}",
        "{{ '%s'|format(who) }}",
        "{{ who|attr('__class__') }}",
        "{{ [who]|map(attribute='__class__') }}",
        "{{ who.upper() }}",
        "{{ range.__call__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ joiner() }}",
        "{{ dict(a=1) }}",
        "{{ context }}{{ environment }}",
        "{% include 'secret' %}",
        "{% import 'os' as os %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% call(x) f() %}{% endcall %}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% autoescape true %}{{ who }}{% endautoescape %}",
        "{{ range(*[1, 2]) }}",
        "{% for x in range(3) %}{{ super() }}{% endfor %}",
        "{{ caller() }}{{ varargs }}",
        "{{ unknown }}",
        "{% if %}",
        "{{ who",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "1+" * 3000 + "1 }}",
        "{% if 1 %}" * 100 + "{% endif %}" * 100,
        "{{ who }}" * 6000,
        "{{ " + "9" * 5000 + " }}",
        "x" * (templates.MAX_TEMPLATE + 1),
    ],
)
def test_what_a_template_may_not_do_is_refused_when_it_is_written(template: str) -> None:
    assert templates.problem(template, NAMES)


def test_a_wrong_template_is_refused_with_the_line_and_what_there_is_instead() -> None:
    assert templates.problem("a\n\n{{ whom }}", NAMES) == "line 3: 'whom' is unknown; there are: who, list"
    assert templates.problem("a\n{{ who|uper }}", NAMES).startswith(
        "line 2: there is no filter 'uper'; there are: abs,"
    )
    assert templates.problem("\n{% for x in who %}", NAMES).startswith("line 2: ")


@pytest.mark.parametrize(
    "template",
    [
        "{{ who['__class__'] }}",
        "{{ who.real }}",
        "{% set ns = namespace() %}{{ ns['_Namespace__attrs'] }}",
        "{% set loop = who %}{{ loop.cycle('a') }}",
        "{% for i in [1] %}{{ loop }}{% endfor %}",
        "{{ range }}",
        "{{ namespace(a=1) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' is odd }}",
        "{{ '{:1000000000}' * 'a' }}",
        "{{ 10 ** 64 ** 64 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 9999999999 * 9999999999 }}",
        "{{ 1.5|round(10**9) }}",
        "{{ who|indent(10**9) }}",
        "{{ range(10**9)|length }}",
        "{{ 1 // 0 }}",
        "{{ [1, 2] }}",
        "{% set x = [1] %}" + "{% set x = [x, x] %}" * 50 + "{{ x }}",
        "{% set x = [1] %}" + "{% set x = {'a': x, 'b': x} %}" * 50 + "{% if x == x %}{% endif %}",
        "{% if false %}{% else %}{{ [who, [who|length]|first]|sort|join }}{% endif %}",
    ],
)  # fmt: skip
def test_what_cannot_be_seen_beforehand_fails_and_does_nothing(template: str) -> None:
    with pytest.raises(templates.Failed, match=r"line 1: "):
        filled(template, who="Ada")


def test_templates_are_kept_up_to_a_size() -> None:
    kept = templates._Kept(100)
    first = kept.get("{{ who }}", NAMES)
    assert kept.get("{{ who }}", NAMES) is first
    wrong = kept.get("{{ whom }}", NAMES)
    assert isinstance(wrong, str)
    kept.get("{{ who }}" + "x" * 91, NAMES)
    assert kept.get("{{ who }}", NAMES) is not first


LOOPS = "{% for a in range(10000) %}{% for b in range(10000) %}"
ENDS = "{% endfor %}{% endfor %}"
HEAVY = [
    "{{ 'a' * 10**9 }}",
    "{{ who * 10**9 }}",
    "{% set x = who %}" + "{% set x = x ~ x %}" * 60 + "{{ x|length }}",
    "{% set x = who %}" + "{% set x = x + x %}" * 60,
    "{% set x = [who] %}" + "{% set x = x + x %}" * 60,
    "{% set x = who * 20000 %}{{ x|replace('A', x) }}",
    "{% set x = who * 20000 %}{{ [x, x, x, x, x, x, x, x, x]|join(x) }}",
    *(
        LOOPS + body + ENDS
        for body in (
            "",
            "x",
            "{{ a * b }}",
            "{{ loop.index }}",
            "{% set c = a %}" * 500,
            "{% if who == who %}{% endif %}",
            "{% if who in who %}{% endif %}",
            "{% set c = who[1:] %}",
            "{% set c = {'a': who}|tojson %}",
            "{% set c = who|split('d')|sort|join %}",
            "{% set q %}xxxxxxxxxxxxxxxxxxx{% endset %}",
            "{% filter upper %}x{% endfilter %}",
            "{{ (a|string)|int + 3.5 ** 2 }}",
        )
    ),
]


@pytest.mark.parametrize("who", ["Ada", "Ä" * 100_000])
@pytest.mark.parametrize("template", HEAVY)
def test_whatever_takes_long_or_becomes_large_is_ended(template: str, who: str) -> None:
    tracemalloc.start()
    try:
        began = time.process_time()
        with pytest.raises(TooMuch):
            filled(template, work=WORK // 5, who=who)
        spent, (_, most) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Tracing allocations makes everything several times slower; without, none takes a tenth of a second.
    assert spent < 5
    assert most < 16_000_000


def test_what_is_put_out_has_a_limit_of_its_own() -> None:
    assert filled("{{ who }}{{ who }}", output=6, who="Ada") == "AdaAda"
    with pytest.raises(TooMuch, match="too long"):
        filled("{{ who }}{{ who }}", output=5, who="Ada")
    with pytest.raises(TooMuch, match="too long"):
        filled("{% for i in range(9) %}abc{% endfor %}", output=26)
    with pytest.raises(TooMuch, match="too long"):
        filled("plain text", output=5)


@given(st.text(), st.text())
def test_values_are_filled_in_as_they_are_and_never_read_as_templates(one: str, two: str) -> None:
    assert filled("<{{ a }}|{{ b }}>", a=one, b=two) == f"<{one}|{two}>"


@given(st.text().filter(lambda text: not any(mark in text + "{" for mark in ("{{", "{%", "{#"))))
def test_text_without_tags_is_its_own_template(text: str) -> None:
    # Jinja makes every line end a "\n" in templates that have tags; those without are none to it.
    assert filled(text) == text


@given(st.lists(st.text(st.characters(exclude_characters=","))))
def test_a_list_that_is_split_and_joined_is_as_it_was(items: list[str]) -> None:
    text = ",".join(items)
    template = "{% for x in a|split(',') %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}"
    assert filled(template, a=text) == text == filled("{{ a|split(',')|join(',') }}", a=text)


@given(st.text(alphabet="{}%#|.()[]'\"~=+*_ ab1\nwhoiforndset,:", max_size=60))
def test_whatever_is_written_is_refused_or_filled_in(template: str) -> None:
    if templates.problem(template, ("who",)) == "":
        try:
            templates.render(template, {"who": "Ada"}, Budget(100_000, 10_000))
        except (TooMuch, templates.Failed):
            pass
