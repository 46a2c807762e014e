"""Parts of text messages are counted as networks count them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.content.sms import SmsCount, count_sms

COUNTS = {
    "": SmsCount("GSM-7", 0, 0, 160),
    "a" * 160: SmsCount("GSM-7", 160, 1, 160),
    "a" * 161: SmsCount("GSM-7", 161, 2, 153),
    "a" * 306: SmsCount("GSM-7", 306, 2, 153),
    "a" * 307: SmsCount("GSM-7", 307, 3, 153),
    "€" * 80: SmsCount("GSM-7", 160, 1, 160),
    "a" * 159 + "€": SmsCount("GSM-7", 161, 2, 153),
    # The escape sequence of the sign does not fit into the first part's last septet.
    "a" * 152 + "€" + "a" * 152: SmsCount("GSM-7", 306, 3, 153),
    "界" * 70: SmsCount("UCS-2", 70, 1, 70),
    "界" * 71: SmsCount("UCS-2", 71, 2, 67),
    "🎉" * 35: SmsCount("UCS-2", 70, 1, 70),
    "界" * 66 + "🎉" * 34: SmsCount("UCS-2", 134, 3, 67),
}


@pytest.mark.parametrize(("text", "count"), COUNTS.items(), ids=range(len(COUNTS)))
def test_parts_are_counted(text: str, count: SmsCount) -> None:
    assert count_sms(text) == count


@given(st.text(max_size=400))
def test_parts_hold_the_text_and_are_not_more_than_splitting_can_cost(text: str) -> None:
    found = count_sms(text)
    assert found.units <= found.segments * found.per_segment
    # At most one unit of a part stays empty, before what takes two.
    assert (found.segments - 1) * (found.per_segment - 1) < max(found.units, 1)
