"""What attempts printed is kept up to an age, a number and a size; of some jobs all of it is."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runner.care.files import Output, delete, outputs, too_many
from runner.units import UnixMs

OUTPUT = st.builds(
    lambda job, n, at, size: Output(path=Path(f"/x/{job}-{n}.log"), job=job, changed_at=UnixMs(at), size=size),
    *(st.integers(1, 6), st.integers(1, 9), st.integers(0, 100), st.integers(0, 50)),
)


@given(
    found=st.lists(OUTPUT, max_size=20).map(lambda found: sorted(found, key=lambda output: output.changed_at)),
    before=st.integers(0, 100),
    most_bytes=st.integers(0, 300),
    most_files=st.integers(0, 20),
    protected=st.sets(st.integers(1, 6)),
)
def test_limits_hold_the_oldest_go_first_and_the_protected_stay(
    found: list[Output], before: int, most_bytes: int, most_files: int, protected: set[int]
) -> None:
    gone = too_many(found, before=UnixMs(before), most_bytes=most_bytes, most_files=most_files, protected=protected)
    left = [output for output in found if not any(output is other for other in gone)]
    free = [output for output in left if output.job not in protected]

    assert not [output for output in gone if output.job in protected]
    assert all(output.changed_at >= before for output in free)
    assert not free or (sum(output.size for output in left) <= most_bytes and len(left) <= most_files)
    # Nothing young goes while something older of the same kind stays.
    assert all(output.changed_at >= other.changed_at for output in free for other in gone if other.changed_at >= before)


def test_only_files_of_attempts_are_looked_at(tmp_path: Path) -> None:
    for name in ("1-1.log", "12-3.log", "notes.log", "1-1.log.gz", "x-1.log"):
        (tmp_path / name).write_text("said")
    os.utime(tmp_path / "12-3.log", (0, 0))
    (tmp_path / "7-1.log").symlink_to(tmp_path / "nowhere")

    found = outputs(tmp_path)

    assert [(output.path.name, output.job, output.size) for output in found] == [("12-3.log", 12, 4), ("1-1.log", 1, 4)]
    assert delete([*found, *found]) == 2
    assert outputs(tmp_path / "gone") == []
