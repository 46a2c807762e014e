"""The demonstration's three users hear of a promotion just as they said."""

from __future__ import annotations

import re

from gateway.client import Walletpush
from gateway.demo.choices import show_choices
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.simulators import Simulators


async def test_one_hears_it_one_never_does_and_one_after_waking(gateway: Gateway, simulators: Simulators) -> None:
    told: list[str] = []
    async with Walletpush(gateway.address) as client:
        await show_choices(client, told.append)
    assert told[0] == "a promotion to a user who agreed: delivered"
    assert told[1] == "a promotion to a user who never agreed: suppressed (NO_CONSENT)"
    assert re.fullmatch(r"a promotion to a user who agreed, and sleeps now: waits until \S+Z \(QUIET_HOURS\)", told[2])
