from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from workbench.catalog.fetch.pace import back_off, retry_after
from workbench.recipe.schema import Pace


def test_pauses_double_and_differ_by_address_but_not_by_run():
    pace = Pace(back_off=0.5, longest=60)
    for attempt in range(8):
        pauses = [back_off(pace, f"http://a.test/{i}", attempt) for i in range(200)]
        middle = min(60, 0.5 * 2**attempt)
        assert 0.5 * middle <= min(pauses) < 0.6 * middle
        assert max(pauses) <= min(60, 1.5 * middle)
        assert pauses == [back_off(pace, f"http://a.test/{i}", attempt) for i in range(200)]
    assert back_off(pace, "http://a.test/", 30) == 60


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        (" 0 ", 0),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_in_seconds(header, seconds):
    assert retry_after(header) == seconds


def test_retry_after_as_a_date():
    assert retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)) == pytest.approx(
        90, abs=2
    )
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert retry_after("Sunday, 99-Foo-94 08:49:37 GMT") is None
