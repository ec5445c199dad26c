from __future__ import annotations

from pathlib import Path

from pytest_agenttasks.slots import alone, claim


def test_each_gets_the_lowest_that_is_free(tmp_path: Path) -> None:
    first, second, third = (claim(tmp_path) for _ in range(3))
    assert [slot.number for slot in (first, second, third)] == [0, 1, 2]
    second.release()
    again = claim(tmp_path)
    assert again.number == 1
    for slot in (first, third, again):
        slot.release()


def test_who_is_alone_knows_it(tmp_path: Path) -> None:
    first = claim(tmp_path)
    assert alone(tmp_path, first)
    second = claim(tmp_path)
    assert not alone(tmp_path, first)
    second.release()
    assert alone(tmp_path, first)
    first.release()
