"""`afk.toml` is checked whole: what is good becomes values, what is bad is named with its line and the way out."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.config import BreakerConfig, Config, RetryConfig, RunnerConfig, TaskKind
from runner.errors import ConfigError
from runner.settings import SettingsError, load, nearest
from runner.settings.lines import key_lines, line_of
from runner.units import parse_usd

REQUIRED = """\
timezone = "Europe/Berlin"
[budget]
daily_usd = "1.00"
"""
LINE = REQUIRED.count("\n") + 1
"""The first line after what every file needs."""

SAMPLE = """\
timezone = "Europe/Berlin"              # of the cap's day and of schedules without their own

[runner]
workers = 2
stop_grace = "20s"
[budget]
daily_usd = "1.00"                      # money is a string of dollars
per_job_usd = "0.25"
[retry]
max_attempts = 4
base = "1s"
cap = "60s"
[breaker]
failures = 5
cooldown = "5m"
[upstreams.anthropic]
url = "https://api.anthropic.com"
wire = "anthropic"                      # or "openai"
key = "env:ANTHROPIC_API_KEY"
[upstreams.ollama]
url = "http://127.0.0.1:11434"
wire = "anthropic"
local = true                            # its models cost nothing
[models]                                # which upstream serves a model id; the longest match wins
"claude-*" = "anthropic"
"qwen*" = "ollama"
[prices."house-model"]                  # USD per million tokens, over or beside the price list
input = "0.15"
output = "0.60"
[tasks.digest]
kind = "prompt"
model = "claude-haiku-4-5"
prompt = "Summarise what changed, in ten lines."
inputs = "inputs/*.md"
schedule = "0 6 * * *"                  # or every = "5m", or at = "2027-01-01T06:00"
max_usd = "0.10"
hours_saved = 0.5
[tasks.review]
kind = "command"
command = ["claude", "-p", "Review yesterday's merges"]
every = "6h"
max_seconds = "30m"
[alerts]
urls = ["env:ALERT_WEBHOOK"]            # apprise URLs
"""
ENVIRON = {"ANTHROPIC_API_KEY": "sk-ant-api03-xyz", "ALERT_WEBHOOK": "discord://id/token"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def read(home: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    (home / "afk.toml").write_text(text)
    return load(home, environ=environ or {})


def refusals(home: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems of a file as `line: sentence`."""
    with pytest.raises(SettingsError) as caught:
        read(home, text, environ)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [f"{problem.line}: {problem.text}" for problem in caught.value.problems]


def refusal(home: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """The one problem of a file."""
    (problem,) = refusals(home, text, environ)
    return problem


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_sample_of_the_design_is_read_as_it_stands(home: Path) -> None:
    """Every section and both tasks arrive, in the units of their names."""
    config = read(home, SAMPLE, ENVIRON)

    assert config.zone.key == "Europe/Berlin"
    assert (config.budget.daily_usd, config.budget.per_job_usd, config.budget.hourly_usd) == (1_000_000, 250_000, None)
    assert config.upstreams["anthropic"].key == "sk-ant-api03-xyz"
    assert config.upstreams["ollama"].local
    assert config.models == {"claude-*": "anthropic", "qwen*": "ollama"}
    assert config.prices["house-model"].output == Decimal("0.60")
    digest, review = config.tasks["digest"], config.tasks["review"]
    assert (digest.kind, digest.max_usd, digest.hours_saved) == (TaskKind.PROMPT, 100_000, Decimal("0.5"))
    assert digest.schedule is not None
    assert digest.schedule.spec == "0 6 * * * Europe/Berlin"
    assert (review.kind, review.max_seconds_ms) == (TaskKind.COMMAND, 1_800_000)
    assert review.schedule is not None
    assert review.schedule.every_ms == 21_600_000
    assert config.alert_urls == ("discord://id/token",)
    assert set(config.secrets) == set(ENVIRON.values())


def test_two_lines_are_enough(home: Path) -> None:
    """Zone and the cap of the day have to be written, everything else has a default."""
    config = read(home, REQUIRED)

    assert config.runner == RunnerConfig()
    assert config.retry == RetryConfig()
    assert config.breaker == BreakerConfig()
    assert not config.tasks


def test_an_empty_file_is_told_what_it_needs(home: Path) -> None:
    """Neither the zone nor the cap is guessed."""
    zone, cap = refusals(home, "")

    assert zone.startswith("1: timezone is missing")
    assert cap.startswith("1: [budget] daily_usd is missing")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('timezone = "UTC"\ndaily_usd = "1"', "2: daily_usd is not a known key; it belongs in [budget]"),
        (
            'timezone = "UTC"\n[runner]\ndaily_usd = "1"',
            "3: [runner] daily_usd is not a known key; it belongs in [budget]",
        ),
        (
            'timezone = "UTC"\n[runner.budget]\ndaily_usd = "1"',
            "2: [runner] budget is not a known key; [budget] is a table of its own",
        ),
        ('timezone = "UTC"\n[budgets]\ndaily_usd = "1"', '2: [budgets] is not a known table; did you mean "budget"?'),
        ('timezone = "UTC"\n[[budget]]\ndaily_usd = "1"', "2: [budget] must be a table, not a list"),
        (
            '[budget]\ntimezone = "UTC"\ndaily_usd = "1"',
            "2: [budget] timezone is not a known key; it belongs above the first table",
        ),
        (
            REQUIRED + '[upstream.a]\nurl = "http://127.0.0.1:1"\n[models]\n"m*" = "a"',
            '[upstream] is not a known table; did you mean "upstreams"?',
        ),
        (
            REQUIRED + '[a]\nurl = "http://127.0.0.1:1"\n[models]\n"m*" = "a"',
            "[a] is not a known table; it belongs in [upstreams]",
        ),
        (
            REQUIRED + '[tasks.upstreams.a]\nurl = "http://127.0.0.1:1"',
            '[tasks.upstreams] a is not a known key; did you mean "at"?',
        ),
    ],
)
def test_a_misplaced_table_is_one_fault_and_not_also_what_is_missing_without_it(
    home: Path, written: str, told: str
) -> None:
    (only,) = refusals(home, written)

    assert only.endswith(told)


def test_what_is_missing_is_told_beside_a_stray_that_has_nothing_to_do_with_it(home: Path) -> None:
    zone, cap, stray = refusals(home, "[runner]\nworker = 2")

    assert "timezone is missing" in zone
    assert "daily_usd is missing" in cap
    assert stray == '2: [runner] worker is not a known key; did you mean "workers"?'


def test_a_cap_of_zero_is_a_cap(home: Path) -> None:
    """It refuses every priced call; it is not the absence of a cap."""
    assert read(home, REQUIRED.replace("1.00", "0")).budget.daily_usd == 0


@pytest.mark.parametrize(
    ("written", "levels"), [("", (50, 80, 100)), ("alert_at = []", ()), ("alert_at = [90, 10, 90]", (10, 90))]
)
def test_the_levels_of_a_cap_are_told_in_order_and_once(home: Path, written: str, levels: tuple[int, ...]) -> None:
    assert read(home, REQUIRED + written).budget.alert_at == levels


@pytest.mark.parametrize("written", ["50", '"50"', "[0]", "[101]", "[50.0]", "[true]", '["50"]', "[[50]]"])
def test_a_level_is_a_percentage_or_refused(home: Path, written: str) -> None:
    assert refusal(home, f"{REQUIRED}alert_at = {written}").startswith(f"{LINE}: [budget] alert_at must be a list of")


def test_all_problems_are_told_at_once_in_line_order(home: Path) -> None:
    """One look at the answer is enough to mend the whole file, and each line names file and place by itself."""
    text = 'timezone = "Europe/Berln"\nwat = 1\n[runner]\nwrokers = 2\n[budget]\ndaily_usd = 1.0\n[runer]\n'

    problems = refusals(home, text)

    assert [problem.partition(":")[0] for problem in problems] == ["1", "2", "4", "6", "7"]
    with pytest.raises(ConfigError) as caught:
        read(home, text)
    assert all(line.startswith(f"{home}/afk.toml:") for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[runner]\nwrokers = 2", "workers"),
        ("[runer]\nworkers = 2", "runner"),
        ('[tasks.a]\nkind = "comand"\ncommand = ["a"]', "command"),
        ('[tasks.a]\nkind = "command"\ncommand = ["a"]\npriorty = 1', "priority"),
        (
            '[tasks.a]\nkind = "command"\ncommand = ["a"]\nschedule = "0 6 * * *"\ntimezone = "europe/berln"',
            "Europe/Berlin",
        ),
        ('[upstreams.anthropic]\nurl = "https://a.example"\n[models]\nx = "antropic"', "anthropic"),
    ],
)
def test_a_misspelling_is_told_what_was_meant(home: Path, text: str, meant: str) -> None:
    """Keys, tables, words, zones and names: the nearest valid spelling ends the sentence."""
    assert refusal(home, REQUIRED + text).endswith(f'; did you mean "{meant}"?')


def test_nothing_is_meant_when_nothing_is_near() -> None:
    """A wild guess would send people the wrong way."""
    assert nearest("xyzzy", ["workers", "cap"]) == ""
    assert nearest("WORKERS", ["workers"]) == '; did you mean "workers"?'


@pytest.mark.parametrize(
    "line",
    [
        "[runner]\nworkers = 0",
        "[runner]\nworkers = 2.0",
        "[runner]\nworkers = true",
        '[runner]\nworkers = "2"',
        "[runner]\nstop_grace = 20",
        '[runner]\nstop_grace = "20"',
        '[runner]\nstop_grace = "2h"',
        '[runner]\nkeep_calls_for = "1d"',
        "[runner]\nkeep_output_mb = -1",
        "[runner]\nlog_mb = 0",
        '[runner]\ndisk_low_mb = "200MB"',
        "[retry]\nmax_attempts = 0",
        '[retry]\nbase = "0s"',
        "[breaker]\nfailures = -1",
        "[breaker]\nfailure_rate = 0",
        "[breaker]\nfailure_rate = 101",
        "[breaker]\nrate_calls = 1",
        '[breaker]\nrate_window = "11m"',
        "[breaker]\nusd_per_minute = 0.5",
        "[breaker]\nsame_request = -1",
        '[prices.m]\noutput = "1"\ninput = 0.15',
        '[prices.m]\ninput = "1"\noutput = "-1"',
        '[prices.m]\ninput = "1"\noutput = "1"\ncontext = 0',
        "retry = 5",
    ],
)
def test_a_bad_value_is_named_with_its_line(home: Path, line: str) -> None:
    """Wrong types, counts and spans out of range, floats for money: one sentence at the line of the value."""
    text = line + "\n" + REQUIRED if line == "retry = 5" else REQUIRED + line
    where = text.rstrip().count("\n") + 1 if text.startswith("timezone") else 1

    assert refusal(home, text).startswith(f"{where}: ")


@pytest.mark.parametrize("amount", ["1.00", "1", "true", '"-1"', '"$1"', '"1.0000001"', '""', '["1"]'])
def test_the_cap_is_a_string_of_dollars_or_refused(home: Path, amount: str) -> None:
    """A float would round; a refused cap never becomes a default."""
    assert refusal(home, REQUIRED.replace('"1.00"', amount)).startswith("3: [budget] daily_usd")


def test_every_setting_of_the_brakes_is_read(home: Path) -> None:
    text = """
[breaker]
failures = 3
failure_rate = 40
rate_calls = 20
rate_window = "2m"
cooldown = "30s"
max_cooldown = "15m"
usd_per_minute = "0.50"
same_request = 0
[upstreams.house]
url = "http://127.0.0.1:1"
requests_per_minute = 50
tokens_per_minute = 40000
"""
    config = read(home, REQUIRED + text)

    assert config.breaker == BreakerConfig(
        failures=3,
        failure_rate=40,
        rate_calls=20,
        rate_window_ms=120_000,
        cooldown_ms=30_000,
        max_cooldown_ms=900_000,
        usd_per_minute=parse_usd("0.50"),
        same_request=0,
    )
    house = config.upstreams["house"]
    assert (house.requests_per_minute, house.tokens_per_minute) == (50, 40_000)
    said = refusal(home, REQUIRED + text.replace("= 50\n", "= 0\n"))
    assert "[upstreams.house] requests_per_minute must be a whole number from 1" in said


def test_a_limit_follows_the_value_it_must_not_be_below(home: Path) -> None:
    """A long base or cool-down lifts a limit nobody wrote; one that was written and is shorter is a mistake."""
    config = read(home, REQUIRED + '[retry]\nbase = "5m"\n[breaker]\ncooldown = "3h"\n')

    assert config.retry.cap_ms == 300_000
    assert config.breaker.max_cooldown_ms == 3 * 3_600_000
    assert "not be shorter" in refusal(home, REQUIRED + '[retry]\nbase = "5m"\ncap = "1m"\n')


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://host", "http"),
        ("api.anthropic.com", "http"),
        ("https://", "host"),
        ("https://user:hunter22@host", "password"),
        ("https://host?key=hunter22", "query"),
        ("https://host#hunter22", "fragment"),
        ("https://host:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://ho st", "spaces"),
        ("https://host/\\\\n", "backslashes"),
    ],
)
def test_an_upstream_is_a_plain_http_url(home: Path, url: str, word: str) -> None:
    """Scheme, host, port and path, nothing else; what may hold a password is not repeated."""
    problem = refusal(home, REQUIRED + f'[upstreams.a]\nurl = "{url}"')

    assert problem.startswith(f"{LINE + 1}: [upstreams.a] url")
    assert word in problem
    assert "hunter22" not in problem


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        *(("localhost:11434", True), ("127.0.0.1:1", True), ("127.8.8.8", True), ("[::1]:80", True)),
        *(("10.0.0.1", False), ("0.0.0.0", False), ("localhost.example", False), ("127.0.0.1.example", False)),
    ],
)
def test_only_this_machine_is_free(home: Path, host: str, allowed: bool) -> None:
    """`local = true` makes models cost nothing, so it holds for loopback addresses alone."""
    text = REQUIRED + f'[upstreams.a]\nurl = "http://{host}/"\nlocal = true'

    if allowed:
        assert read(home, text).upstreams["a"].url == f"http://{host}"
    else:
        assert refusal(home, text).startswith(f"{LINE + 2}: [upstreams.a] local")


@pytest.mark.parametrize("route", ['"a*b" = "a"', '"**" = "a"', '"offline/x" = "a"', '"" = "a"', "x = 1", 'x = "b"'])
def test_a_route_leads_from_a_model_to_a_declared_upstream(home: Path, route: str) -> None:
    """One star, at the end; the built-in models cannot be led away."""
    text = REQUIRED + f'[upstreams.a]\nurl = "https://a.example"\n[models]\n{route}'

    assert refusal(home, text).startswith(f"{LINE + 3}: [models]")


def test_a_name_of_ours_cannot_be_an_upstream(home: Path) -> None:
    """`offline` is built in."""
    assert "built in" in refusal(home, REQUIRED + '[upstreams.offline]\nurl = "https://a.example"')


def test_an_upstream_says_its_wire_and_what_its_answers_may_cost(home: Path) -> None:
    """The wire has two words; the limit of an answer and what an overload costs have defaults."""
    text = REQUIRED + '[upstreams.a]\nurl = "https://a.example/v1"\n'
    lines = 'wire = "openai"\ndefault_output_tokens = 4_096\nhold_overloaded = true\n'

    said, bare = read(home, text + lines).upstreams["a"], read(home, text).upstreams["a"]

    assert (said.wire, said.default_output_tokens, said.hold_overloaded) == ("openai", 4_096, True)
    assert (bare.wire, bare.default_output_tokens, bare.hold_overloaded) == ("anthropic", 16_384, False)
    assert 'must be "anthropic" or "openai"' in refusal(home, text + 'wire = "grpc"')


PROMPT = '[tasks.a]\nkind = "prompt"\nmodel = "offline/extract"\nprompt = "Do."\n'
COMMAND = '[tasks.a]\nkind = "command"\ncommand = ["true"]\n'


def test_an_agent_is_given_what_its_task_names(home: Path) -> None:
    """Tools, hosts, criteria and the limit on tool calls are values of the task; all are off where nothing is said."""
    said = """inputs = "inputs/*.md"
        tools = ["fetch_url", "read_file", "fetch_url"]
        domains = ["Example.org", "*.docs.example.net:8080"]
        criteria = ["Names every failing service.", "Is short."]
        max_tool_calls = 0
        irreversible = false"""

    task, bare = read(home, REQUIRED + PROMPT + said).tasks["a"], read(home, REQUIRED + PROMPT).tasks["a"]

    assert task.tools == ("fetch_url", "read_file")
    assert task.domains == ("example.org", "*.docs.example.net:8080")
    assert task.criteria == ("Names every failing service.", "Is short.")
    assert (task.max_tool_calls, task.irreversible) == (0, False)
    assert (bare.tools, bare.domains, bare.criteria, bare.max_tool_calls, bare.irreversible) == (
        (),
        (),
        (),
        None,
        False,
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('tools = ["read_fil"]\ninputs = "inputs/*"', 'did you mean "read_file"?'),
        ('tools = ["shell"]', "none of read_file, fetch_url, write_output, draft"),
        ('tools = "read_file"', "must be a list of strings"),
        ('tools = ["read_file"]', "name them as inputs"),
        ('tools = ["fetch_url"]', "asks only hosts that are named"),
        ('tools = ["fetch_url"]\ndomains = []', "asks only hosts that are named"),
        ('tools = ["draft"]\ndomains = ["example.org"]', 'without the tool "fetch_url"'),
        ('criteria = ["fine", " "]', "must hold sentences of 1 to 500 characters"),
        ("criteria = []", "is empty, so nothing would be checked; write sentences, or leave it out"),
        ("criteria = [" + '"x", ' * 21 + "]", "has 21 sentences, 20 are the most"),
        ("max_tool_calls = -1", "whole number from 0"),
        ('irreversible = "no"', "must be true or false"),
        ('irreversible = true\nevery = "1h"', "no schedule may start the task"),
    ],
)
def test_what_an_agent_may_not_be_given_is_named_with_the_way_out(home: Path, keys: str, said: str) -> None:
    """A permission that means something else than its reader thinks is refused at start."""
    assert said in refusal(home, REQUIRED + PROMPT + keys)


@pytest.mark.parametrize(
    "domain",
    [
        *("*", "*.com", "com", "127.0.0.1", "10.0.0.1:80", "[::1]", "https://example.org", "example.org/x"),
        *("a@example.org", "example.*", "*example.org", "", "example.org.", "-a.example.org", "exa mple.org"),
    ],
)
def test_a_domain_names_one_host_or_what_is_below_one(home: Path, domain: str) -> None:
    """No address, no scheme, no path, and never a whole top-level domain."""
    keys = f'tools = ["fetch_url"]\ndomains = ["{domain}"]'
    assert "write hosts such as" in refusal(home, REQUIRED + PROMPT + keys)


@pytest.mark.parametrize("key", ['tools = ["draft"]', 'criteria = ["short"]', 'domains = ["example.org"]'])
def test_a_command_is_given_no_tools_of_ours(home: Path, key: str) -> None:
    assert "means nothing to a command task" in refusal(home, REQUIRED + COMMAND + key)


def test_tools_at_the_vendor_are_off_unless_a_task_limits_their_uses(home: Path) -> None:
    allowed = COMMAND + "[tasks.a.server_tools]\nweb_search = 3\n"

    task, bare = read(home, REQUIRED + allowed).tasks["a"], read(home, REQUIRED + COMMAND).tasks["a"]

    assert (task.server_tools, bare.server_tools) == ({"web_search": 3}, {})


def test_what_cannot_be_undone_is_marked_task_by_task(home: Path) -> None:
    """`irreversible = false` says what holds at the top; true would open every task at once."""
    marked = read(home, "irreversible = false\n" + REQUIRED + COMMAND + "irreversible = true").tasks["a"]

    assert marked.irreversible
    assert "each such task" in refusal(home, "irreversible = true\n" + REQUIRED + COMMAND)


@pytest.mark.parametrize(
    "name",
    ["digest", "a", "A.b-c_d", "0", "x" * 64],
)
def test_a_plain_name_names_a_task(home: Path, name: str) -> None:
    """Letters, digits, dots, dashes and underscores, up to 64."""
    assert list(read(home, REQUIRED + COMMAND.replace("tasks.a", f'tasks."{name}"')).tasks) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "HOME",
        "no_proxy",
        "OPENAI_API_BASE",
        "CLAUDE_CONFIG_DIR",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CODE_USE_BEDROCK",
        "CODEX_HOME",
        "OPENCODE_CONFIG",
        "OPENCODE_CONFIG_CONTENT",
    ],
)
def test_what_leads_an_agent_past_the_gate_is_not_set_in_env(home: Path, name: str) -> None:
    """Another address, another settings folder, a login, another cloud."""
    assert "is set by the runner" in refusal(home, REQUIRED + COMMAND + f'env = {{{name} = "x"}}')


def test_a_command_may_be_confined_to_the_gate(home: Path) -> None:
    assert read(home, REQUIRED + COMMAND + 'confine = "network"').tasks["a"].confine == "network"
    assert read(home, REQUIRED + COMMAND).tasks["a"].confine is None


@pytest.mark.parametrize("name", ["", ".", "-a", "a b", "ä", "a/b", "../a", "x" * 65, "a\\nb", "a\\u202Eb"])
def test_an_odd_name_names_no_task(home: Path, name: str) -> None:
    """Names become files, keys and text on a screen; the refusal stays on one printable line."""
    problem = refusal(home, REQUIRED + COMMAND.replace("tasks.a", f'tasks."{name}"'))

    assert "must be named" in problem
    assert problem.isprintable()


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        ("", ["kind"]),
        ('kind = "prompt"', ["model", "prompt"]),
        ('kind = "command"', ["command"]),
        ('kind = "python"', ["kind"]),
        ('kind = "prompt"\nmodel = "gpt-5"\nprompt = "x"', ["model"]),
        ('kind = "prompt"\nmodel = "offline/x"\nprompt = " "', ["prompt"]),
        ('kind = "prompt"\nmodel = "offline/x"\nprompt = "x"\ncommand = ["a"]', ["command"]),
        ('kind = "command"\ncommand = ["a"]\nmodel = "offline/x"', ["model"]),
        ('kind = "command"\ncommand = []', ["command"]),
        ('kind = "command"\ncommand = "ls -l"', ["command"]),
        ('kind = "command"\ncommand = ["ls", 1]', ["command"]),
        ('kind = "command"\ncommand = ["ls", "\\u0000"]', ["command"]),
        ('kind = "command"\ncommand = ["l\\u0000s"]', ["command"]),
        ('kind = "command"\ncommand = [1, "ls"]', ["command"]),
        ('kind = "command"\ncommand = [" ", "ls"]', ["command"]),
        ('kind = "command"\ncommand = ["ls"]\ncwd = "~/src"', ["cwd"]),
        ('kind = "command"\ncommand = ["ls"]\nconfine = "files"', ["confine"]),
        ('kind = "prompt"\nmodel = "offline/x"\nprompt = "x"\nconfine = "network"', ["confine"]),
        ('kind = "command"\ncommand = ["ls"]\npriority = 10', ["priority"]),
        ('kind = "command"\ncommand = ["ls"]\non_timeout = "explode"', ["on_timeout"]),
        ('kind = "command"\ncommand = ["ls"]\nhours_saved = nan', ["hours_saved"]),
        ('kind = "command"\ncommand = ["ls"]\nhours_saved = 1e99999999999999999999', ["hours_saved"]),
        ('kind = "command"\ncommand = ["ls"]\nmax_seconds = "0s"', ["max_seconds"]),
        ('kind = "command"\ncommand = ["ls"]\nmax_output_tokens = 0', ["max_output_tokens"]),
        ('kind = "command"\ncommand = ["ls"]\nserver_tools = {web_search = 0}', ["web_search"]),
        ('kind = "command"\ncommand = ["ls"]\nserver_tools = {web_serch = 3}', ["web_serch"]),
    ],
)
def test_a_task_is_whole_or_refused(home: Path, task: str, keys: list[str]) -> None:
    """Each kind has what it needs, nothing of the other's, and values it can work with."""
    problems = refusals(home, REQUIRED + f"[tasks.a]\n{task}")

    assert [problem.split(" ")[2] for problem in problems] == keys


@pytest.mark.parametrize("glob", ["/etc/*", "../x/*", "inputs/../../x", "~/notes/*", ".."])
def test_inputs_stay_below_the_home(home: Path, glob: str) -> None:
    """A prompt is sent to somebody else's machine; the rest of this one is not its business."""
    assert "below the home" in refusal(home, REQUIRED + PROMPT + f'inputs = "{glob}"')


@pytest.mark.parametrize("glob", ["a/**b", "**x/*.md", "a/***/b", "a**"])
def test_inputs_are_a_pattern_that_can_be_read(home: Path, glob: str) -> None:
    """Said at start, and not by the first job at six in the morning; on every Python alike."""
    said = refusal(home, REQUIRED + PROMPT + f'inputs = "{glob}"')

    assert 'which is no pattern such as "inputs/*.md": ** must be a whole part of a path' in said


def test_inputs_may_be_of_every_folder_below(home: Path) -> None:
    assert read(home, REQUIRED + PROMPT + 'inputs = "inputs/**/*.md"').tasks["a"].inputs == "inputs/**/*.md"


def test_a_working_directory_counts_from_the_home(home: Path) -> None:
    """Never from where the runner was started."""
    relative = read(home, REQUIRED + COMMAND + 'cwd = "work/../src"').tasks["a"]
    absolute = read(home, REQUIRED + COMMAND + 'cwd = "/srv/src"').tasks["a"]

    assert (relative.cwd, absolute.cwd) == (home / "src", Path("/srv/src"))


def test_words_for_a_commands_environment_are_plain(home: Path) -> None:
    """What the runner sets, and what would be a secret, cannot come in this way."""
    text = (
        REQUIRED
        + COMMAND
        + 'env = {LANG = "C", AFK_TOKEN = "x", ANTHROPIC_BASE_URL = "x", K = "env:K", N = 1, "a=b" = ""}'
    )

    problems = refusals(home, text)

    assert [problem.split(" ")[2] for problem in problems] == ["AFK_TOKEN", "ANTHROPIC_BASE_URL", "K", "N", '"a=b"']
    assert read(home, REQUIRED + COMMAND + 'env = {LANG = "C"}').tasks["a"].env == {"LANG": "C"}


@pytest.mark.parametrize(
    "line",
    [
        'schedule = "61 * * * *"',
        'schedule = "* * * *"',
        'schedule = "0 0 6 * * *"',
        'schedule = "@daily"',
        'schedule = "0 0 30 2 *"',
        'schedule = "0 0 */31 2 5L"',
        'schedule = ""',
        "schedule = 5",
        'every = "999ms"',
        'every = "0s"',
        'every = "5"',
        'at = "tomorrow"',
        "at = 2027-01-01T06:00:00",
        'every = "5m"\ntimezone = "Mars/Base"',
        'every = "5m"\ntimezone = "../../etc/passwd"',
        'every = "5m"\ncatch_up = "some"',
        'every = "5m"\ncatch_up_limit = 3',
        'every = "5m"\ncatch_up = "latest"\ncatch_up_limit = 3',
        'every = "5m"\ncatch_up = "all"\ncatch_up_limit = 0',
        'every = "5m"\ncatch_up = "all"\ncatch_up_limit = 101',
        'every = "5m"\nmax_lateness = "59s"',
        'every = "5m"\nmax_lateness = 5',
        'every = "5m"\ncatch_up = "none"\nmax_lateness = "5m"',
        'every = "5m"\noverlap = 0',
        'every = "5m"\noverlap = 101',
        'every = "5m"\nhours = "8-20"',
        'every = "5m"\nhours = "08:00-08:00"',
        'every = "5m"\nhours = "08:60-20:00"',
        'every = "5m"\nhours = "24:00-20:00"',
        'every = "5m"\nhours = "08:00-24:01"',
        'every = "5m"\nhours = ["08:00-20:00"]',
        'at = "2027-01-01T06:00"\nhours = "08:00-20:00"',
        'schedule = "0 6 * * *"\nhours = "08:00-20:00"',
        'every = "1d"\ntimezone = "UTC"\nhours = "08:00-20:00"',
        'timezone = "UTC"',
        'catch_up = "none"',
        "overlap = 2",
        'hours = "08:00-20:00"',
        'every = "5m"\nschedule = "0 6 * * *"',
        'every = "5m"\nat = "2027-01-01T06:00"',
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(home: Path, line: str) -> None:
    """Cron lines that are none or never come due, spans under a second, unknown zones, two schedules in one."""
    (first, *_) = refusals(home, REQUIRED + COMMAND + line)

    assert first.startswith(tuple(f"{LINE + number}: " for number in (3, 4, 5)))


def test_what_holds_of_a_schedules_slots_is_read(home: Path) -> None:
    """Each policy, and what is meant where nothing is said."""
    said = """every = "5m"
        catch_up = "all"
        catch_up_limit = 24
        max_lateness = "1h30m"
        overlap = 2
        hours = "22:00-06:30"
        """
    own = read(home, REQUIRED + COMMAND + said).tasks["a"].schedule
    bare = read(home, REQUIRED + COMMAND + 'every = "5m"').tasks["a"].schedule

    assert own is not None
    assert bare is not None
    assert own.policy == "hours 22:00-06:30, catch-up all of 24, at most 1h 30m late, 2 at a time"
    assert (own.catch_up_limit, own.max_lateness_ms, own.overlap, str(own.hours)) == (24, 5_400_000, 2, "22:00-06:30")
    assert (bare.catch_up, bare.max_lateness_ms, bare.overlap, bare.hours, bare.policy) == ("latest", None, 1, None, "")


@pytest.mark.parametrize(
    "line",
    [
        'schedule = "0 6-9 * * *"\nhours = "09:00-10:00"',
        'every = "1s"\nhours = "23:59-24:00"',
        'every = "1d"\ntimezone = "Asia/Tokyo"\nhours = "09:00-09:01"',
        'every = "25h"\nhours = "03:00-03:30"',
    ],
)
def test_hours_that_some_due_time_meets_are_taken(home: Path, line: str) -> None:
    assert read(home, REQUIRED + COMMAND + line).tasks["a"].schedule is not None


def test_a_schedule_has_its_own_zone_or_the_homes(home: Path) -> None:
    """A moment without an offset is of the schedule's zone."""
    own = read(home, REQUIRED + COMMAND + 'at = "2027-01-01T06:00"\ntimezone = "Asia/Tokyo"').tasks["a"].schedule
    homes = read(home, REQUIRED + COMMAND + 'at = "2027-01-01T06:00"').tasks["a"].schedule

    assert own is not None
    assert homes is not None
    assert own.zone.key == "Asia/Tokyo"
    assert (homes.at or 0) - (own.at or 0) == 8 * 3_600_000


UPSTREAM = '[upstreams.a]\nurl = "https://a.example"\n'


@pytest.mark.parametrize("key", ["sk-ant-secret", "env:", "env:sk-ant-secret", "file:", "ENV:sk_ant_secret", "$SECRET"])
def test_a_key_written_out_is_refused_and_not_repeated(home: Path, key: str) -> None:
    """The answer may end in a log; the key must not."""
    problem = refusal(home, REQUIRED + UPSTREAM + f'key = "{key}"')

    assert problem.startswith(f'{LINE + 2}: [upstreams.a] key must be "env:NAME" or "file:PATH"')
    assert "secret" not in problem.replace("a secret itself", "")


def test_the_homes_own_variables_go_before_the_environment(home: Path) -> None:
    """`.env` is what the owner wrote for this home."""
    private(home / ".env", "KEY=from-dotenv\n")
    environ = {"KEY": "from-environ", "OTHER": "other-environ"}

    first = read(home, REQUIRED + UPSTREAM + 'key = "env:KEY"', environ)
    second = read(home, REQUIRED + UPSTREAM + 'key = "env:OTHER"', environ)

    assert (first.upstreams["a"].key, second.upstreams["a"].key) == ("from-dotenv", "other-environ")
    assert "from-dotenv" not in repr(first)


@pytest.mark.parametrize("environ", [{}, {"MISSING_KEY": " "}, {"MISSING_KEY": "two\nlines"}])
def test_a_missing_or_useless_variable_is_named(home: Path, environ: dict[str, str]) -> None:
    """Unset, empty, or with a line break that no header can carry."""
    problem = refusal(home, REQUIRED + UPSTREAM + 'key = "env:MISSING_KEY"', environ)

    assert problem.startswith(f"{LINE + 2}: ")
    assert "MISSING_KEY" in problem
    assert "two" not in problem


def test_a_secret_file_is_read_without_its_last_line_break(home: Path) -> None:
    """Editors add one. A relative path counts from the home."""
    private(home / "key", "sk-ant-secret\r\n")

    config = read(home, REQUIRED + UPSTREAM + 'key = "file:key"')

    assert config.upstreams["a"].key == "sk-ant-secret"
    assert config.secrets == ("sk-ant-secret",)


def test_a_secret_file_that_is_not_private_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open to the group, a link, a directory, a FIFO, empty, absent, somebody else's: none is read as a key."""
    text = REQUIRED + UPSTREAM + 'key = "file:key"'
    key = home / "key"

    assert "No such file" in refusal(home, text)
    private(key, "sk-ant-secret").chmod(0o640)
    assert "chmod 600" in refusal(home, text)
    private(key, "\n")
    assert "is empty" in refusal(home, text)
    key.rename(home / "real")
    key.symlink_to("real")
    assert "symbolic link" in refusal(home, text)
    key.unlink()
    key.mkdir()
    assert "is a directory" in refusal(home, text)
    key.rmdir()
    os.mkfifo(key, 0o600)
    assert "not a regular file" in refusal(home, text)
    key.unlink()
    private(key, "sk-ant-secret")
    monkeypatch.setattr(os, "geteuid", lambda: key.stat().st_uid + 1)
    assert "somebody else" in refusal(home, text)


def test_variables_are_read_as_a_shell_would_but_never_run(home: Path) -> None:
    """Exports, quotes, comments and blanks are understood; nothing is expanded."""
    private(
        home / ".env",
        '# comment\n\nexport A=plain # comment\r\nB=\'single # $HOME\'\nC="double \\"quoted\\" \\\\ $(id)" # c\n'
        "D = spaced\nE=has#hash\nF=first\nF=last\n",
    )
    names = "ABCDEF"
    urls = ", ".join(f'"env:{name}"' for name in names)
    problems = refusals(home, REQUIRED + f"[alerts]\nurls = [{urls}]")
    assert len(problems) == len(names)  # all were found; none is a URL

    values = [read(home, REQUIRED + UPSTREAM + f'key = "env:{name}"').upstreams["a"].key for name in names]

    assert values == ["plain", "single # $HOME", 'double "quoted" \\ $(id)', "spaced", "has#hash", "last"]


@pytest.mark.parametrize(
    "line", ["sk-ant-secret", "2KEY=sk-ant-secret", "KEY='sk-ant-secret", 'KEY="sk-ant-secret" x', "=x"]
)
def test_a_bad_line_of_variables_is_named_and_not_repeated(home: Path, line: str) -> None:
    """The file, the line, and not the secret that stands in it."""
    private(home / ".env", f"OK=1\n{line}\n")

    with pytest.raises(SettingsError) as caught:
        read(home, REQUIRED)

    assert str(caught.value).startswith(f"{home}/.env:2: ")
    assert "secret" not in str(caught.value)


def test_variables_others_can_read_are_refused(home: Path) -> None:
    """A key that everybody on the machine can read is no secret, even if no line uses it."""
    private(home / ".env", "KEY=1\n").chmod(0o644)

    with pytest.raises(SettingsError, match="chmod 600"):
        read(home, REQUIRED)


def test_alert_urls_are_plain_or_references_and_always_secret(home: Path) -> None:
    """A webhook's token is part of its URL, so a plain one is redacted as well."""
    config = read(home, REQUIRED + '[alerts]\nurls = ["env:HOOK", "ntfy://topic"]', {"HOOK": "slack://a/b/c"})

    assert config.alert_urls == ("slack://a/b/c", "ntfy://topic")
    assert set(config.secrets) == {"slack://a/b/c", "ntfy://topic"}
    assert "slack" not in repr(config)


def test_what_is_secret_in_an_alert_url_is_secret_alone(home: Path) -> None:
    """A library may repeat the password or the token without the rest; its words are no secrets."""
    urls = [
        "json://user:pass%21word@host.example.org/hook?to=ops",
        "https://discord.com/api/webhooks/123/AbCd5678EfGh9012",
    ]
    config = read(home, REQUIRED + f"[alerts]\nurls = {urls}")

    assert set(config.secrets) == {*urls, "pass%21word", "pass!word", "AbCd5678EfGh9012"}


def test_each_bad_alert_is_named_at_its_own_line(home: Path) -> None:
    """A list over several lines has as many places to be wrong."""
    problems = refusals(home, REQUIRED + '[alerts]\nurls = [\n  "env:NOPE",\n  "hunter22", # not a URL\n  5,\n]')

    assert [problem.partition(":")[0] for problem in problems] == [str(LINE + line) for line in (2, 3, 4)]
    assert "hunter22" not in "".join(problems)


def test_a_missing_file_names_the_way_out(home: Path) -> None:
    """The sentence says which command writes one."""
    with pytest.raises(ConfigError, match="afk-runner init"):
        load(home, environ={})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#" * (1024 * 1024 + 1), "larger than 1024 KB"),
        (b"a = 1\nb = '\xff'\n", ":2: this line is not UTF-8"),
        (b"a = 1\nb = \n", ":2: this is not TOML at column 5"),
        (b"a = 1\na = 2\n", ":2: this is not TOML"),
        (b"a = 1\nb = 'x", ":2: this is not TOML at the end of the file"),
        (b"a = " + b"[" * 5000, "too many brackets"),
        (b"a = 1\nb = " + b"9" * 5000, ":2: a number of more than 4,300 digits is not read"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_in_one_sentence(home: Path, content: bytes, said: str) -> None:
    """Too large, not text, not TOML, or made to break a reader: a ConfigError with the line where there is one."""
    (home / "afk.toml").write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        load(home, environ={})

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_file_is_refused(home: Path) -> None:
    """A directory and a FIFO are named; neither is waited for."""
    (home / "afk.toml").mkdir()
    with pytest.raises(ConfigError, match="is a directory"):
        load(home, environ={})
    (home / "afk.toml").rmdir()
    os.mkfifo(home / "afk.toml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(home, environ={})


def test_editors_of_other_systems_may_save_the_file(home: Path) -> None:
    """A byte order mark and CRLF line ends are no problem, and lines still count right."""
    (home / "afk.toml").write_bytes(("\ufeff" + REQUIRED + "[runner]\nwrokers = 1\n").replace("\n", "\r\n").encode())

    with pytest.raises(SettingsError) as caught:
        load(home, environ={})

    assert [problem.line for problem in caught.value.problems] == [LINE + 1]


WINDING = """\
# a = 1
top = @@@
not = "a key" # nor a comment
two of these are its own \\" @@@@@
[one."two.three"]  # [not.a.table]
  a . "b # c" = [ 1, # ]
    "x]", [
      3 ], { q = 1, "r\\u0041" = 'y}' },
  ]
lit = ^^^
[fake]
x = ^^^^^
after = 2027-01-01 06:00:00 # }
[[list]]
k = 1
[[list]]
k = 2
[list.sub]
z = 1
[one]
""".replace("@", '"').replace("^", "'")


def test_the_line_of_every_key_is_found_in_a_winding_text() -> None:
    """Comments, quoted and dotted keys, strings over lines, arrays, inline tables and arrays of tables."""
    tomllib.loads(WINDING)
    two = ("one", "two.three")

    lines = key_lines(WINDING)

    assert {path: lines[path] for path in lines if path[0] in ("one", "top")} == {
        ("top",): 2,
        ("one",): 20,
        two: 5,
        (*two, "a"): 6,
        (*two, "a", "b # c"): 6,
        (*two, "a", "b # c", 0): 6,
        (*two, "a", "b # c", 1): 7,
        (*two, "a", "b # c", 2): 7,
        (*two, "a", "b # c", 2, 0): 8,
        (*two, "a", "b # c", 3): 8,
        (*two, "a", "b # c", 3, "q"): 8,
        (*two, "a", "b # c", 3, "rA"): 8,
        (*two, "lit"): 10,
        (*two, "after"): 13,
    }
    assert (lines["list", 0, "k"], lines["list", 1, "k"], lines["list", 1, "sub", "z"]) == (15, 17, 19)
    assert line_of(lines, ("list", 1, "absent")) == 16
    assert line_of(lines, ("absent",)) == 1


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
VALUES = st.recursive(
    st.integers() | st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def toml(value: object) -> str:
    """A value as TOML, with strings in the form that needs the least thought here."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return (
                '"'
                + "".join(
                    f"\\U{ord(letter):08X}" if letter in '"\\' or not letter.isprintable() else letter
                    for letter in value
                )
                + '"'
            )
        case list():
            return "[\n" + ",\n".join(map(toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)


def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every path into a document."""
    found = {path} if path else set()
    if isinstance(value, dict):
        return found.union(*(paths(item, (*path, key)) for key, item in value.items()))
    if isinstance(value, list):
        return found.union(*(paths(item, (*path, index)) for index, item in enumerate(value)))
    return found


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_every_key_tomllib_reads_has_a_line(document: dict[str, object]) -> None:
    """The second pass sees exactly the keys of the first, and top-level keys at the line they were written on."""
    text, written = "", {}
    for key, value in document.items():
        written[key] = text.count("\n") + 1
        text += f"{toml(key)} = {toml(value)} # comment\n"

    lines = key_lines(text)

    assert set(lines) == paths(tomllib.loads(text))
    assert {key: lines[key,] for key in document} == written


WORDS = st.sampled_from([*SAMPLE.split(), "\n", "\n[", "]", '"""', "'", "=", "#", "{", "}", ".", ",", "\\", "1e9"])


@given(st.lists(WORDS, max_size=40).map(" ".join) | st.text(max_size=100))
@settings(deadline=None)  # it writes files: a slow disk is no failure
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever stands in the file, the answer is a Config or a ConfigError."""
    home = tmp_path_factory.mktemp("home")
    (home / "afk.toml").write_bytes(text.encode())

    with contextlib.suppress(ConfigError):
        load(home, environ={})


@given(st.lists(WORDS, max_size=5).map("".join), st.sampled_from(SAMPLE.splitlines()), st.data())
@settings(deadline=None)
def test_no_edit_of_the_sample_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, words: str, line: str, data: st.DataObject
) -> None:
    """A value replaced by anything is read or refused, and a refusal is one printable line a problem."""
    home = tmp_path_factory.mktemp("home")
    value = data.draw(VALUES.map(toml) | st.just(words))
    text = SAMPLE.replace(line, f"{line.partition(' = ')[0]} = {value}" if " = " in line else words)
    (home / "afk.toml").write_bytes(text.encode())

    said = ""
    try:
        load(home, environ=ENVIRON)
    except ConfigError as error:
        said = str(error)

    assert all(problem.isprintable() for problem in said.split("\n"))
