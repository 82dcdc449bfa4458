"""How the lines of a pull become progress."""

from __future__ import annotations

import pytest

from elixi_models.downloads import progress
from elixi_models.records import Progress, PullEvent

GB = 1_000_000_000
NOTHING = Progress()


def layer(digest: str, completed: int | None, total: int | None = GB) -> PullEvent:
    return PullEvent(f"pulling {digest}", f"sha256:{digest}", total, completed)


def told(*events: PullEvent, floor: Progress = NOTHING, step_s: float = 0.06) -> progress.Pull:
    """The pull after these lines, `step_s` apart, the first at 0."""
    pull = progress.begin(floor, 0.0)
    for number, event in enumerate(events):
        pull = progress.fold(pull, event, number * step_s)
    return pull


def shown(*events: PullEvent, floor: Progress = NOTHING) -> Progress:
    return progress.measure(told(*events, floor=floor))


MANIFEST = PullEvent("pulling manifest")
VERIFYING = PullEvent("verifying sha256 digest")


def test_nothing_is_known_before_the_first_layer():
    """The manifest line gives no bytes and no fraction."""
    assert shown(MANIFEST) == Progress(0.0, None, None, None, None)


def test_fraction_is_completed_over_total():
    """A quarter of the only layer seen is 0.25."""
    assert shown(MANIFEST, layer("a", 250_000_000)) == Progress(0.25, 250_000_000, GB)


def test_a_line_without_completed_bytes_is_nothing_yet():
    """The first line of a layer leaves `completed` out while it is 0."""
    assert shown(layer("a", None)) == Progress(0.0, 0, GB)


def test_a_layer_is_complete_when_the_next_one_starts():
    """No line says 100 %: what the last line of a layer lacked counts once another digest appears."""
    assert shown(layer("a", 970_000_000), layer("b", 0, GB)).completed_bytes == GB


def test_verifying_completes_the_last_layer():
    """All bytes are there when hashing starts, but the model is not installed yet."""
    assert shown(layer("a", 970_000_000), VERIFYING) == Progress(0.99, GB, GB)


def test_a_pull_without_layer_lines_is_almost_done_when_it_verifies():
    """A small model sends `pulling manifest` and then `verifying`: no bytes are invented."""
    assert shown(MANIFEST, VERIFYING) == Progress(0.99, None, None)


def test_writing_the_manifest_is_still_verifying():
    """The lines after `verifying` keep the phase and the figures."""
    pull = told(layer("a", 970_000_000), VERIFYING, PullEvent("writing manifest"), PullEvent("success"))
    assert (pull.phase, progress.measure(pull).fraction) == ("verifying", 0.99)


def test_fraction_does_not_fall_when_a_layer_adds_to_the_denominator():
    """A second layer as large as the first halves the quotient, not what is shown."""
    before = shown(layer("a", 990_000_000))
    after = shown(layer("a", 990_000_000), layer("b", 1))
    assert (before.fraction, after.fraction, after.total_bytes) == (0.99, 0.99, 2 * GB)


def test_a_tiny_first_layer_says_nothing_about_the_whole():
    """A layer of 102 bytes that comes first does not show 99 % for the rest of the download."""
    assert shown(layer("tiny", 102, 102)).fraction == 0.0
    assert shown(layer("tiny", 102, 102), layer("a", 500_000_000)).fraction == pytest.approx(0.5, abs=1e-6)


def test_bytes_taken_back_do_not_show():
    """A part that failed is subtracted by the server; what is shown stands still."""
    assert shown(layer("a", 600_000_000), layer("a", 200_000_000)) == Progress(0.6, 600_000_000, GB)


def test_remaining_time_counts_the_bytes_that_really_lack():
    """After bytes were taken back the estimate grows although the bar stands still."""
    lines = [layer("a", value) for value in (500_000_000, 600_000_000, 300_000_000, 400_000_000)]
    measured = progress.measure(told(*lines, step_s=1.0))
    assert measured.completed_bytes == 600_000_000
    assert measured.remaining_s == pytest.approx(600_000_000 / measured.speed_bytes_per_s)


def test_a_resumed_pull_starts_from_what_was_shown():
    """Another worker's progress is the floor of everything shown afterwards."""
    floor = Progress(0.7, 700_000_000, GB, 5.0, 60.0)
    assert shown(MANIFEST, floor=floor) == Progress(0.7, 700_000_000, GB)
    assert shown(layer("a", 100_000_000), floor=floor) == Progress(0.7, 700_000_000, GB)
    assert shown(layer("a", 800_000_000), floor=floor).fraction == 0.8


def test_a_line_without_a_total_changes_nothing():
    """A second waiter may get lines without `total` for a moment; known totals stay, unknown ones stay unknown."""
    assert shown(layer("a", 5, None)) == Progress()
    assert shown(layer("a", 500_000_000), layer("a", 600_000_000, None)).fraction == 0.6


def test_completed_above_the_total_is_cut():
    """No line can push the sum over the total."""
    assert shown(layer("a", 2 * GB)) == Progress(0.99, GB, GB)


def test_progress_never_falls_over_any_order_of_lines():
    """A whole pull with a backward jump, a growing denominator and an unknown total only ever rises."""
    lines = [
        MANIFEST,
        layer("a", 400_000_000),
        layer("a", 900_000_000),
        layer("a", 100_000_000),
        layer("a", 990_000_000),
        layer("b", 10, None),
        layer("b", 10),
        layer("c", 102, 102),
        VERIFYING,
        PullEvent("success"),
    ]
    pull, seen = progress.begin(Progress(), 0.0), []
    for at, line in enumerate(lines):
        pull = progress.fold(pull, line, float(at))
        seen.append((progress.measure(pull).fraction, progress.measure(pull).completed_bytes or 0))
    assert seen == sorted(seen)
    assert seen[-1] == (0.99, 2 * GB + 102)


def test_only_installed_is_all():
    """1.0 comes with the end and with nothing before it."""
    assert progress.installed(shown(layer("a", GB), VERIFYING)) == Progress(1.0, GB, GB, None, 0.0)


def test_installed_without_layer_lines_takes_the_models_size():
    """A pull that named no bytes gets them from the list of models."""
    assert progress.installed(shown(MANIFEST), 98_000_000) == Progress(1.0, 98_000_000, 98_000_000, None, 0.0)


def test_speed_is_unknown_until_half_a_second_of_lines():
    """Two lines 60 ms apart are no measurement."""
    assert shown(layer("a", 0), layer("a", 60_000_000)).speed_bytes_per_s is None


def test_speed_counts_what_flowed_not_what_was_there():
    """A resumed layer's first line, 376 MB at once, is no speed."""
    lines = [layer("a", value) for value in (376_000_000, 386_000_000)]
    measured = progress.measure(told(*lines, step_s=1.0))
    assert measured.speed_bytes_per_s == 10_000_000
    assert measured.remaining_s == pytest.approx((GB - 386_000_000) / 10_000_000)


def test_speed_is_smoothed_over_seconds():
    """One second at double speed moves the rate by 1 - exp(-1/5), not to the double."""
    lines = [layer("a", value) for value in (0, 10_000_000, 30_000_000)]
    assert progress.measure(told(*lines, step_s=1.0)).speed_bytes_per_s == pytest.approx(11_812_692.5, rel=1e-6)


def test_speed_fades_while_nothing_flows():
    """Lines that repeat the same bytes let the rate fall, and with it the estimate goes."""
    lines = [layer("a", 0), layer("a", 100_000_000)] + [layer("a", 100_000_000)] * 120
    measured = progress.measure(told(*lines, step_s=1.0))
    assert measured.speed_bytes_per_s < 1.0
    assert measured.remaining_s is None


def test_there_is_no_speed_while_verifying():
    """Hashing is not downloading: neither speed nor remaining time is invented for it."""
    measured = progress.measure(told(layer("a", 0), layer("a", GB), VERIFYING, step_s=1.0))
    assert (measured.speed_bytes_per_s, measured.remaining_s) == (None, None)


def test_stall_is_judged_by_bytes_not_by_silence():
    """Lines that keep saying the same are a stall after the limit; one byte more is none."""
    same = told(layer("a", 5_000_000), *[layer("a", 5_000_000)] * 120, step_s=1.0)
    assert not progress.stalled(same, 119.0, 120.0)
    assert progress.stalled(same, 120.0, 120.0)
    assert not progress.stalled(progress.fold(same, layer("a", 5_000_001), 119.9), 120.0, 120.0)


def test_silence_from_the_start_is_a_stall():
    """A registry that never answers the manifest is found too."""
    assert progress.stalled(progress.begin(Progress(), 10.0), 130.0, 120.0)


def test_verifying_may_be_silent_as_long_as_a_slow_disk_needs():
    """40 GB at 20 MB/s are 2,000 s on top of the limit."""
    pull = told(layer("a", 40 * GB, 40 * GB), VERIFYING, step_s=0.0)
    assert not progress.stalled(pull, 2_119.0, 120.0)
    assert progress.stalled(pull, 2_120.0, 120.0)


def test_a_layer_line_after_verifying_is_a_download_again():
    """Nothing forbids it, so the phase follows the lines."""
    assert told(VERIFYING, layer("a", 1)).phase == "downloading"


def test_an_unknown_status_is_no_movement():
    """Words that no server says today change nothing, not even the stall clock."""
    pull = progress.begin(Progress(), 0.0)
    assert progress.fold(pull, PullEvent("thinking about it"), 50.0) is pull
