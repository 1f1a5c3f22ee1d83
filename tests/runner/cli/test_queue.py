"""Putting jobs in, looking at them, taking them out, and giving dead ones a new life."""

from __future__ import annotations

import json
import sqlite3

import pytest

from runner.check import ONCE
from runner.errors import Exit
from runner.home import Home
from runner.lock import HomeLock
from runner.store.runners import RunState
from runner.units import SystemClock, UnixMs
from runner.work.register import DECLARE_IT
from tests.runner.cli.world import Afk, bury, queue, start_runner


def test_the_same_payload_twice_is_one_job(afk: Afk) -> None:
    """The second answer names the same key and says that nothing was added."""
    first = afk("enqueue", "digest", '{"box": "in", "n": 1}', "--json")
    second = afk("enqueue", "digest", '{"n": 1, "box": "in"}', "--json")

    same = {"key": first.json["key"], "status": "pending", "other_payload": False, "other_task": None}
    assert first.json == {**same, "created": True}
    assert second.json == {**same, "created": False}
    assert (first.code, second.code) == (0, 0)


def test_a_key_that_exists_with_another_payload_is_told_as_such(afk: Afk) -> None:
    """The order of its members makes no other payload; nothing is added either way."""
    afk("enqueue", "digest", '{"n": 1, "of": "mine"}', "--key", "m1")

    same = afk("enqueue", "digest", '{"of": "mine", "n": 1}', "--key", "m1")
    other = afk("enqueue", "digest", '{"n": "other"}', "--key", "m1")
    document = afk("enqueue", "digest", '{"n": "other"}', "--key", "m1", "--json")

    assert same.err == "nothing was added: it is pending; --again makes a fresh key\n"
    assert other.out == "exists m1\n"
    assert other.err == "nothing was added: it is pending, and has another payload; --again makes a fresh key\n"
    assert (document.json["created"], document.json["other_payload"]) == (False, True)
    assert (same.code, other.code, document.code) == (0, 0, 0)
    assert [job["payload"] for job in afk("jobs", "--json").json] == [{"n": 1, "of": "mine"}]


def test_a_key_of_another_task_is_told_as_such(afk: Afk) -> None:
    """By one job, and by lines, whichever of the two they differ in."""
    afk("enqueue", "digest", "--key", "m1")

    other = afk("enqueue", "sweep", "--key", "m1")
    document = afk("enqueue", "sweep", "--key", "m1", "--json")
    lines = afk("enqueue", "sweep", "--lines", stdin=b'{"key": "m1"}\n{"key": "m2"}\n')
    documents = afk("enqueue", "sweep", "--lines", "--json", stdin=b'{"key": "m1"}\n{"key": "m2"}\n').json

    assert other.err == "nothing was added: it is pending as a job of digest; --again makes a fresh key\n"
    assert document.json["other_task"] == "digest"
    assert lines.err.endswith(
        "1 existed already and were not added again\n"
        "1 of them has another payload or task, of which nothing was added: m1\n"
    )
    assert (documents["other_task"], documents["other_payload"]) == (1, 0)
    assert [job["other_task"] for job in documents["jobs"]] == ["digest", None]
    assert [job["task"] for job in afk("jobs", "--json").json if job["key"] == "m1"] == ["digest"]


def test_again_makes_a_second_job_on_purpose(afk: Afk) -> None:
    afk("enqueue", "digest")

    answer = afk("enqueue", "digest", "--again")

    assert answer.out.startswith("queued digest-")
    assert len(afk("jobs", "--json").json) == 2


def test_what_was_asked_for_is_in_the_row(afk: Afk) -> None:
    limits = ["--max-usd", "0.10", "--max-seconds", "5m", "--max-attempts", "2", "--max-output-tokens", "800"]
    afk("enqueue", "digest", '{"a": [1]}', "--key", "mine", "--priority", "-3", *limits, "--at", "2030-07-01T06:00")

    row = afk("job", "mine", "--json").json

    assert row["payload"] == {"a": [1]}
    assert row["priority"] == -3
    assert row["max_usd_microusd"] == 100_000
    assert row["max_seconds"] == 300
    assert row["max_attempts"] == 2
    assert row["max_output_tokens"] == 800
    assert row["not_before"] == "2030-07-01T04:00:00.000Z"  # six in Berlin
    assert row["attempts_log"] == []
    assert row["steps"] == {}


def test_plain_seconds_are_seconds(afk: Afk) -> None:
    afk("enqueue", "digest", "--key", "k", "--max-seconds", "90")

    assert afk("job", "k", "--json").json["max_seconds"] == 90


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["digset"], "there is no task 'digset'; did you mean \"digest\"?"),
        (["digest", '{"a":'], "the payload is not JSON at line 1 column 6"),
        (["digest", "NaN"], "the payload is not JSON: NaN is not a JSON value"),
        (["digest", "[" * 5_000 + "]" * 5_000], "the payload is nested more than 200 levels deep"),
        (["digest", "[" * 201 + "]" * 201], "the payload is nested more than 200 levels deep"),
        (["digest", "1" * 5_000], "the payload holds a number of more than 4,300 digits; write it as a string"),
        (["digest", '{"a": "\udcff"}'], "the payload is not UTF-8 text at byte 7"),
        (["digest", "--at", "tomorrow"], "at: 'tomorrow' is not a time"),
        (["digest", "--in", "soon"], "in: 'soon' is not a duration"),
        (["digest", "--at", "9999-01-01T00:00"], "at: '9999-01-01T00:00' is more than a hundred years from now"),
        (["digest", "--in", "999999d"], "in: '999999d' is more than a hundred years"),
        (["digest", "--at", "2030-01-01T00:00", "--in", "5m"], "cannot stand together"),
        (["digest", "--max-usd", "$1"], "max_usd: '$1' is not an amount of dollars"),
        (["digest", "--max-seconds", "0"], "one second is the least"),
        (["digest", "--key", "a\nb"], "is not 1 to 200 printable characters"),
        ([], "wants a TASK"),
    ],
)
def test_a_request_that_cannot_be_a_job_is_refused_in_one_sentence(afk: Afk, argv: list[str], says: str) -> None:
    answer = afk("enqueue", *argv)

    assert answer.code == Exit.USAGE
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert afk("jobs", "--json").json == []


def test_a_payload_nested_as_deep_as_may_be_is_kept_and_shown(afk: Afk) -> None:
    deep = "[" * 200 + "]" * 200

    key = afk("enqueue", "digest", deep).out.split()[1]

    assert afk("job", key, "--json").json["payload"] == json.loads(deep)
    assert afk("job", key).code == afk("jobs").code == Exit.OK


def test_what_is_nested_deeper_than_that_is_shown_as_its_text(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """As an older version queued it, and as a result may be."""
    key, deep = queue(home, db), "[" * 900 + "]" * 900
    db.execute("UPDATE jobs SET payload = ?, result = ? WHERE key = ?", (deep, deep, key))

    answer = afk("job", key, "--json")

    assert (answer.code, answer.json["payload"], answer.json["result"]) == (Exit.OK, deep, deep)


def test_a_payload_comes_from_stdin(afk: Afk) -> None:
    answer = afk("enqueue", "digest", "-", stdin='\ufeff{"city": "Köln"}'.encode())

    assert afk("job", answer.out.split()[1], "--json").json["payload"] == {"city": "Köln"}


def test_a_payload_of_twenty_megabytes_is_refused_unread(afk: Afk, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = afk("enqueue", "digest", "-", stdin=b'"' + b"x" * 20_000_000 + b'"')

    assert answer.code == Exit.USAGE
    assert "more than 1,000,000 bytes; put it in a file" in answer.err


def test_enqueueing_needs_no_key_of_an_upstream(afk: Afk, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is in the runner's environment; a cron line that only adds a job has none."""
    monkeypatch.delenv("SOME_KEY", raising=False)
    secret = '[upstreams.up]\nurl = "https://up.example"\nkey = "env:SOME_KEY"\n[alerts]\nurls = ["env:SOME_URL"]\n'
    home.config.write_text(home.config.read_text() + secret)

    assert afk("enqueue", "digest").code == 0


def test_a_refused_configuration_is_named_by_line(afk: Afk, home: Home) -> None:
    home.config.write_text(home.config.read_text() + "[runner]\nworkrs = 3\n")

    answer = afk("enqueue", "digest")

    assert answer.code == Exit.CONFIG
    assert f'{home.config}:12: [runner] workrs is not a known key; did you mean "workers"?' in answer.err


def test_lines_are_added_in_their_order(afk: Afk) -> None:
    lines = b'{"key": "a"}\n\n{"task": "sweep", "key": "b", "payload": [1], "priority": 5}\n{"key": "c", "in": "1h"}'

    answer = afk("enqueue", "digest", "--lines", "--max-attempts", "2", "--json", stdin=lines)

    assert answer.json["created"] == 3
    assert [job["key"] for job in answer.json["jobs"]] == ["a", "b", "c"]
    rows = {row["key"]: row for row in afk("jobs", "--json").json}
    assert (rows["a"]["task"], rows["b"]["task"], rows["b"]["priority"]) == ("digest", "sweep", 5)
    assert {row["max_attempts"] for row in rows.values()} == {2}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{nope", "it is not JSON at column 2"),
        (b"[1]", "it is not a JSON object"),
        (b'{"task": "digset"}', 'did you mean "digest"?'),
        (b'{"tusk": "digest"}', "'tusk' is not a key of a job; did you mean \"task\"?"),
        (b'{"priority": 10}', "priority must be a whole number from -9 to 9"),
        (b'{"priority": true}', "priority must be a whole number"),
        (b'{"max_usd": 0.1}', 'max_usd must be a string such as "0.10"'),
        (b'{"payload": NaN}', "it is not JSON: NaN is not a JSON value"),
        (b'{"payload": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "it is nested more than 200 levels deep"),
        (b'{"payload": ' + b"1" * 5_000 + b"}", "it holds a number of more than 4,300 digits"),
        (b'{"payload": "\\ud800"}', "half a surrogate pair"),
        (b'{"key": "\xff"}', "it is not UTF-8 text at byte 9"),
        (b'{"payload": "' + b"x" * 1_000_000 + b'"}', "bytes"),
        (b'{"payload": "' + b"x" * 3_000_000 + b'"}', "it has more than 1,010,000 bytes"),
    ],
)
def test_one_bad_line_adds_nothing_and_is_named(afk: Afk, line: bytes, says: str) -> None:
    answer = afk("enqueue", "digest", "--lines", stdin=b'{"key": "good"}\n' + line + b'\n{"key": "also good"}\n')

    assert answer.code == Exit.USAGE
    assert "line 2: " in answer.err
    assert says in answer.err
    assert "nothing was added" in answer.err
    assert afk("jobs", "--json").json == []


def test_keys_that_exist_are_counted_and_not_added(afk: Afk) -> None:
    afk("enqueue", "digest", "--key", "a")

    answer = afk("enqueue", "digest", "--lines", stdin=b'{"key": "a"}\n{"key": "b"}\n')

    assert answer.out == "queued 1\n"
    assert "1 existed already" in answer.err


def test_of_two_lines_with_one_key_the_second_payload_is_told_as_not_added(afk: Afk) -> None:
    lines = b'{"key": "a", "payload": 1}\n{"key": "a", "payload": 2}\n'

    answer = afk("enqueue", "digest", "--lines", stdin=lines)

    assert (answer.code, answer.out) == (0, "queued 1\n")
    assert answer.err.endswith(
        "1 existed already and were not added again\n1 of them has another payload, of which nothing was added: a\n"
    )
    assert [job["payload"] for job in afk("jobs", "--json").json] == [1]


@pytest.mark.parametrize("count", [5, 120])
def test_of_many_lines_with_other_payloads_the_first_keys_are_named(afk: Afk, count: int) -> None:
    """Each once, of those alone that differ; the same whether one statement adds them or many."""

    def lines(payload: int) -> bytes:
        return b"".join(b'{"key": "k%d", "payload": %d}\n' % (n, payload) for n in range(count))

    afk("enqueue", "digest", "--lines", stdin=lines(1))

    same = afk("enqueue", "digest", "--lines", stdin=lines(1))
    other = afk("enqueue", "digest", "--lines", stdin=b'{"key": "k1", "payload": 2}\n' + lines(2))
    document = afk("enqueue", "digest", "--lines", "--json", stdin=lines(2) + b'{"key": "new"}\n').json

    assert same.err == f"{count} existed already and were not added again\n"
    assert other.err == (
        f"{count + 1} existed already and were not added again\n"
        f"{count + 1} of them have another payload, of which nothing was added: k1, k0, k2, ...\n"
    )
    assert (document["created"], document["existing"], document["other_payload"]) == (1, count, count)
    first, *_, last = document["jobs"]
    assert (first["key"], first["created"], first["other_payload"]) == ("k0", False, True)
    assert (last["key"], last["created"], last["other_payload"]) == ("new", True, False)


def test_twenty_thousand_lines_are_one_event(afk: Afk, db: sqlite3.Connection) -> None:
    lines = b"".join(b'{"payload": {"n": %d}}\n' % n for n in range(20_000))

    answer = afk("enqueue", "digest", "--lines", stdin=lines)

    assert answer.out == "queued 20,000\n"
    assert db.execute("SELECT pending FROM board").fetchone() == (20_000,)
    assert db.execute("SELECT count(*) FROM events").fetchone() == (1,)


def test_jobs_can_be_narrowed_down(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    queue(home, db, key="d")
    queue(home, db, task="sweep", key="s")
    bury(home, db, key="gone")

    assert [row["key"] for row in afk("jobs", "--task", "sweep", "--json").json] == ["s"]
    assert [row["key"] for row in afk("jobs", "--status", "dead", "--json").json] == ["gone"]
    assert [row["key"] for row in afk("jobs", "--limit", "1", "--json").json] == ["gone"]
    assert "it broke" in afk("jobs").out


def test_a_job_shows_its_attempts(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    key = bury(home, db, error="ValueError: the feed is empty")

    row = afk("job", key, "--json").json
    text = afk("job", key).out

    assert [(each["n"], each["outcome"], each["tail"]) for each in row["attempts_log"]] == [
        (1, "dead", "the last words\n")
    ]
    assert row["why"].endswith(f"`afk-runner replay {key}` gives it a new life.")
    assert "attempt 1 dead" in text
    assert "| the last words" in text


def test_a_last_attempt_failed_and_is_no_retry(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    key = bury(home, db)
    db.execute("UPDATE attempts SET outcome = 'retry'")

    assert "attempt 1 failed" in afk("job", key).out
    assert afk("job", key, "--json").json["attempts_log"][0]["outcome"] == "retry", "the word of the row stays"


def test_why_says_behind_whose_jobs_it_waits_and_how_the_next_one_does_not(
    afk: Afk, home: Home, db: sqlite3.Connection
) -> None:
    first = queue(home, db, task="sweep", payload={"n": 0})
    for number in (1, 2):
        queue(home, db, task="sweep", payload={"n": number})
    queue(home, db, key="other", payload={"n": 9})
    late = queue(home, db, key="late")
    lock = HomeLock(home.lock)
    assert lock.take()
    try:
        start_runner(db)
        assert afk("why", late).out.strip() == (
            "late waits: it is due and 4 jobs are ahead of it, most of them of sweep; `priority` of task digest, or "
            "`enqueue --priority`, puts the next one ahead."
        )
        assert "priority" not in afk("why", first).out, "nothing is ahead of it"
    finally:
        lock.close()


def test_why_names_every_gate(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    key = queue(home, db)
    afk("kill", "--reason", "lunch")

    answer = afk("why", key)

    assert "everything is stopped" in answer.out
    assert "lunch" in answer.out
    assert "no runner works on this home" in answer.out


@pytest.mark.parametrize("verb", ["job", "why"])
def test_a_job_that_is_not_there_is_exit_code_1(afk: Afk, verb: str) -> None:
    answer = afk(verb, "nope")

    assert answer.code == Exit.REFUSED
    assert "there is no job 'nope'" in answer.err
    assert answer.out == ""


def test_cancel_takes_some_and_says_why_not_the_others(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    bury(home, db, key="dead one")
    queue(home, db, key="live one")

    answer = afk("cancel", "live one", "dead one", "nobody", "--json")

    assert answer.code == Exit.REFUSED
    assert answer.json["cancelled"] == ["live one"]
    assert answer.json["refused"] == [
        {"key": "dead one", "reason": "it is dead already"},
        {"key": "nobody", "reason": "there is no such job"},
    ]


def test_remove_wants_a_finished_job(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    bury(home, db, key="dead one")
    queue(home, db, key="live one")

    assert afk("remove", "dead one").out == "removed dead one\n"
    refused = afk("remove", "live one")

    assert refused.code == Exit.REFUSED
    assert refused.err == "afk-runner: not removed live one: it is pending; cancel it first\n"


def test_replay_gives_a_dead_job_a_new_life_with_its_history(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    key = bury(home, db)

    answer = afk("replay", key, "--json")

    assert answer.json == {"replayed": [key], "refused": []}
    row = afk("job", key, "--json").json
    assert (row["status"], row["attempts"], len(row["attempts_log"])) == ("pending", 0, 1)


def test_replay_by_error_takes_those_that_share_it(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    bury(home, db, key="a", error="timeout after 31 s")
    bury(home, db, key="b", error="timeout after 7 s")
    bury(home, db, key="c", error="no such host")
    error = afk("job", "a", "--json").json["fingerprint"]

    listed = afk("replay", "--error", error, "--dry-run", "--json").json
    assert sorted(listed["would_replay"]) == ["a", "b"]
    assert len(afk("dead", "--json").json) == 3  # nothing was changed

    assert sorted(afk("replay", "--error", error, "--json").json["replayed"]) == ["a", "b"]
    assert [row["key"] for row in afk("dead", "--json").json] == ["c"]


def test_a_canary_is_one_of_its_error(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """The newest; the others stay dead, and the person is told so."""
    for key in ("a", "b", "c"):
        bury(home, db, key=key, error="timeout after 31 s")
    error = afk("job", "a", "--json").json["fingerprint"]

    assert afk("replay", "--error", error, "--canary", "--dry-run", "--json").json["would_replay"] == ["c"]
    answer = afk("replay", "--error", error, "--canary", "--json")

    assert answer.json == {"replayed": ["c"], "refused": []}
    assert "2 others of this error stay dead" in answer.err
    assert sorted(row["key"] for row in afk("dead", "--json").json) == ["a", "b"]


def test_replay_all_of_nothing_is_exit_code_1(afk: Afk) -> None:
    answer = afk("replay", "--all")

    assert answer.code == Exit.REFUSED
    assert "there is no dead letter" in answer.err


def test_replay_of_a_live_job_is_refused(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    key = queue(home, db)

    answer = afk("replay", key)

    assert answer.code == Exit.REFUSED
    assert "it is pending, not dead" in answer.err


def test_a_halted_job_is_no_dead_end(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """Replay gives it no new life, and says with `why` what does."""
    key = bury(home, db)
    db.execute("UPDATE jobs SET status = 'halted'")
    way = "`afk-runner enqueue digest PAYLOAD --again` with more room"

    for answer in (afk("replay", key), afk("replay", key, "--dry-run")):
        assert f"it is halted, not dead; {way}" in answer.err
    assert way in afk("why", key).out


@pytest.mark.parametrize("argv", [[], ["k", "--all"], ["--all", "--error", "x"], ["--all", "--canary"]])
def test_replay_wants_one_way_to_choose(afk: Afk, argv: list[str]) -> None:
    assert afk("replay", *argv).code == Exit.USAGE


def test_a_hostile_error_shows_as_text(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """What a payload wrote cannot move the cursor, and JSON carries it whole."""
    error = "\x1b[2J\x1b]0;owned\x07 \u202eright to left \x9b31m"
    key = bury(home, db, error=error)

    for verb in (["dead"], ["jobs"], ["job", key], ["why", key], ["replay", "--all", "--dry-run"]):
        answer = afk(*verb)
        assert not set(answer.out + answer.err) & set("\x1b\x07\u202e\x9b"), verb
        assert "\\x1b[2J" in answer.out, verb
    assert afk("job", key, "--json").json["error"] == error
    assert json.dumps(error) in afk("dead", "--json").out


def test_whoever_queues_hears_that_nothing_will_run_it(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    """In one line beside the answer; where cron starts runs of `run --once`, none is missed."""
    first = afk("enqueue", "digest", '{"n": 1}')
    assert first.out.startswith("queued ")
    assert first.err == "no runner is live to do it; `afk-runner run` starts one\n"

    start_runner(db, state=RunState.STOPPED, ended=ONCE)
    assert afk("enqueue", "digest", '{"n": 2}').err == ""

    afk("kill", "--reason", "lunch")
    assert afk("enqueue", "digest", '{"n": 3}').err == "nothing starts: lunch; `afk-runner resume` lifts it\n"


def test_whoever_queues_hears_that_the_runner_knows_an_older_file(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    lock = HomeLock(home.lock)
    assert lock.take()
    try:
        start_runner(db, started_at=UnixMs(home.declared_at() + 1))
        assert "restart" not in afk("enqueue", "digest", '{"n": 1}').err
        db.execute("UPDATE runners SET started_at = ?", (home.declared_at() - 1,))
        assert "restart the runner" in afk("enqueue", "digest", '{"n": 2}').err
        assert "mend: restart the runner" in afk("doctor").out
    finally:
        lock.close()


def test_why_and_status_say_what_a_job_of_an_unknown_task_waits_for(
    afk: Afk, home: Home, db: sqlite3.Connection
) -> None:
    key = queue(home, db)
    later = SystemClock().now() + 60_000
    fact = f"the runner was started without a task digest; {DECLARE_IT}"
    db.execute("UPDATE jobs SET not_before = ?, waiting_gate = 'task:digest', waiting_on = ?", (later, fact))

    assert "restart the runner." in afk("why", key).out
    assert "until 2" not in afk("why", key).out + afk("jobs").out
    assert "1 job for task:digest: the runner was started without a task digest; declare it" in afk("status").out


def test_one_job_ahead_is_one_job(afk: Afk, home: Home, db: sqlite3.Connection) -> None:
    lock = HomeLock(home.lock)
    assert lock.take()
    try:
        start_runner(db)
        queue(home, db, payload={"n": 0})
        assert "1 job is ahead of it, all of digest" in afk("why", queue(home, db)).out
    finally:
        lock.close()


@pytest.mark.parametrize(
    ("argv", "where"),
    [
        (("enqueue", "qqqq"), "afk.toml and tasks/*.py declare them"),
        (("pause", "qqqq"), "afk.toml and tasks/*.py declare them"),
        (("breaker", "reset", "q/q", "--reason", "x"), "`afk-runner breaker` lists them"),
        (("breaker", "trip", "qqqq/q", "--reason", "x"), "[upstreams] of afk.toml declares them"),
    ],
)
def test_a_name_like_no_other_is_answered_with_where_names_are(afk: Afk, argv: tuple[str, ...], where: str) -> None:
    assert where in afk(*argv).err
