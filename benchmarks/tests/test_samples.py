from __future__ import annotations

import os

import pytest

from benchmarks.load.samples import MAX_GROWTH, Samples, only, second_half

TIMES = [float(second) for second in range(101)]


def test_only_the_second_half_of_a_run_counts() -> None:
    values = [10.0 * time if time < 50 else 500.0 for time in TIMES]
    course = second_half(TIMES, values)
    assert course[:4] == (500.0, 500.0, 500.0, 500.0)
    assert course.growth == pytest.approx(0.0)
    assert course.flat
    assert course.no_more


@pytest.mark.parametrize(
    ("share", "flat"), [(0.0, True), (0.049, True), (0.051, False), (-0.049, True), (-0.051, False), (0.5, False)]
)
def test_a_memory_is_flat_if_its_line_changes_by_at_most_a_twentieth_of_its_mean(share: float, flat: bool) -> None:
    assert MAX_GROWTH == 0.05
    values = [1_000.0 * (1.0 + share * (time - 75.0) / 50.0) for time in TIMES]
    course = second_half(TIMES, values)
    assert course.growth == pytest.approx(share)
    assert course.flat is flat


def test_one_peak_is_no_growth_and_a_step_is() -> None:
    peak = [1_000.0 + (500.0 if time == 80 else 0.0) for time in TIMES]
    assert second_half(TIMES, peak).flat
    step = [1_000.0 + (100.0 if time >= 75 else 0.0) for time in TIMES]
    assert not second_half(TIMES, step).flat


@pytest.mark.parametrize(
    ("first", "last", "no_more"),
    [(60, 100, True), (60, 62, True), (90, 100, False), (90, 92, False), (98, 100, False), (90, 91, True)],
)
def test_a_count_that_lasts_may_be_higher_before_the_last_quarter_only(first: int, last: int, no_more: bool) -> None:
    counts = [20.0 + (1.0 if first <= time <= last else 0.0) for time in TIMES]
    assert second_half(TIMES, counts).no_more is no_more


def test_samples_at_uneven_times_are_judged_by_the_time() -> None:
    times = [0.0, 1.0, 2.0, 3.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]
    course = second_half(times, [9.0, 9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert (course.before, course.after) == (1.0, 1.0)
    assert course.growth == pytest.approx(0.0)


def test_a_figure_that_is_always_zero_is_flat() -> None:
    assert second_half(TIMES, [0.0] * len(TIMES)).flat


@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 50.0, 60.0, 100.0], [0.0, 60.0, 80.0, 100.0]])
def test_a_quarter_with_fewer_than_two_samples_is_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="let it be longer"):
        second_half(times, [1.0] * len(times))


def test_samples_name_their_courses_by_role_and_figure() -> None:
    samples = Samples({"this": only(), "gone": list})
    for second in range(9):
        samples.take(float(second), 10 * second, {"keys": 5.0})
    courses = samples.courses()
    figures = ("pss_mb", "anon_mb", "handles", "threads")
    assert set(courses) == {"keys", *(f"{role}, {figure}" for role in ("this", "gone") for figure in figures)}
    assert courses["this, threads"].most_after >= 1
    assert courses["gone, pss_mb"].before == 0.0
    assert courses["keys"].flat


def test_processes_that_end_between_samples_are_named() -> None:
    left = [os.getpid(), os.getppid()]
    samples = Samples({"pool": lambda: left, "this": only()})
    samples.take(0.0, 0, {})
    assert samples.ended == {"pool": set(), "this": set()}
    gone = left.pop()
    samples.take(1.0, 0, {})
    assert samples.ended == {"pool": {gone}, "this": set()}
