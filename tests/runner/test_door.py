"""The write door and the file behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from runner.commands import Door
from runner.errors import StoreMissing
from runner.home import Home
from runner.store import controls
from runner.store.db import open_reader
from tests.factories import new_database


@pytest.fixture
def home(home: Home) -> Home:
    """With a database."""
    new_database(home.db).close()
    return home


@pytest.fixture
def door(home: Home) -> Iterator[Door]:
    """One that is open."""
    made = Door(home)
    made.ready()
    yield made
    made.close()


def is_stopped(home: Home) -> bool:
    with closing(open_reader(home.db)) as db:
        return controls.stop_row(db).is_set


def test_an_act_goes_to_the_file_that_stands_there_now(home: Home, door: Door) -> None:
    """Not to the one that was opened, where nobody would ever see it, and not to none."""
    another = home.root / "another.db"
    new_database(another).close()
    os.replace(another, home.db)

    killed = door.kill()

    assert (killed.sources, killed.failed) == (("file", "row"), ())
    assert is_stopped(home)


def test_no_act_makes_a_database_of_an_empty_file(home: Home, door: Door) -> None:
    """Half a copy, or what is left of a lost one: a fresh one has forgotten every job and what today has cost."""
    home.db.unlink()
    home.db.touch()

    killed = door.kill()

    assert killed.sources == ("file",)
    assert "holds no schema" in killed.failed[0]
    assert home.db.stat().st_size == 0


def test_an_act_on_a_file_that_is_gone_is_refused_and_the_next_one_finds_it_again(home: Home, door: Door) -> None:
    aside = home.root / "aside"
    home.db.rename(aside)
    with pytest.raises(StoreMissing):
        door.pause("digest", reason="tea")
    aside.rename(home.db)

    assert door.kill().sources == ("file", "row")
    assert is_stopped(home)
