"""Receipts, devices and connections of the client over a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from adapters.simulators.authority import CertificateAuthority
from core.errors import InvalidRequest
from gateway.client import (
    Device,
    InvalidArgument,
    NotFound,
    Receipt,
    Receipts,
    Retry,
    Tls,
    Unavailable,
    Walletpush,
    apns_token,
    fcm_token,
)
from tests.fixtures_gateway import APP, SmallGateway, small_gateway
from tests.integration.test_client_sending import payment

QUICK = Retry(deadline_s=5.0, base_s=0.002, cap_s=0.01)


@pytest.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    async with small_gateway() as running:
        running.deliveries.receipts = [Receipt(notification_id=f"n{i}") for i in range(10)]
        yield running


async def told(watching: AsyncIterator[Receipts]) -> list[str]:
    return [one.notification_id async for receipts in watching for one in receipts.receipts]


async def test_receipts_are_told_once_over_disconnects(gateway: SmallGateway) -> None:
    gateway.deliveries.break_watch_after = [3, 0, 4]
    async with Walletpush(gateway.address, retry=QUICK) as client:
        ids = await told(client.watch_receipts("begin", until_caught_up=True))
    assert ids == [f"n{i}" for i in range(10)]
    assert gateway.deliveries.cursors == ["begin", "3", "3", "7"]


async def test_a_cursor_goes_on_behind_what_it_came_with(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        async for receipts in client.watch_receipts("begin"):
            if receipts.receipts[0].notification_id == "n6":
                break
        assert await told(client.watch_receipts(receipts.cursor, until_caught_up=True)) == ["n7", "n8", "n9"]


async def test_following_a_gateway_that_stays_away_ends_at_the_deadline(gateway: SmallGateway) -> None:
    await gateway.stop()
    async with Walletpush(gateway.address, retry=Retry(deadline_s=0.2, base_s=0.01)) as client:
        with pytest.raises(Unavailable):
            await told(client.watch_receipts("begin"))


async def test_a_wrong_cursor_is_raised_at_once(gateway: SmallGateway) -> None:
    gateway.deliveries.abort_next = [InvalidRequest("cursor", "is none")]
    async with Walletpush(gateway.address) as client:
        with pytest.raises(InvalidArgument):
            await told(client.watch_receipts("?"))


async def test_one_receipt_and_cancelling(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        sent = await client.send_now(payment())
        assert (await client.get_receipt(sent.id)).notification_id == sent.id
        assert await client.cancel(sent.id)
        with pytest.raises(NotFound):
            await client.get_receipt("unknown")


async def test_devices_are_registered_listed_and_removed(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        phone = Device(app=APP, user_id="u1", token=apns_token("aa" * 32, sandbox=True), locale="zh-CN")
        assert (await client.register_device(phone)).HasField("register_time")
        await client.register_device(Device(app=APP, user_id="u1", token=fcm_token("t" * 40)))
        assert {one.token.token for one in await client.list_devices(APP, "u1")} == {"aa" * 32, "t" * 40}
        assert await client.unregister_device(APP, phone.token)
        assert not await client.unregister_device(APP, phone.token)
        with pytest.raises(InvalidArgument) as caught:
            await client.register_device(Device(app="another"))
    assert caught.value.violations[0].field == "device.app"


async def test_mutual_tls_connects_and_a_stranger_is_not_trusted(tmp_path: Path) -> None:
    ours, theirs = CertificateAuthority.create(tmp_path / "ours"), CertificateAuthority.create(tmp_path / "theirs")
    server, caller = ours.issue_server("server"), ours.issue_client("caller")
    pair = (server.key.read_bytes(), server.certificate.read_bytes())
    credentials = grpc.ssl_server_credentials([pair], ours.certificate.read_bytes(), require_client_auth=True)
    async with small_gateway(credentials) as gateway:
        tls = Tls(ours.certificate, caller.certificate, caller.key)
        async with Walletpush(gateway.address, tls=tls, key="wp_k") as client:
            assert (await client.send(payment())).id
        for wrong in (Tls(ours.certificate), Tls(theirs.certificate, caller.certificate, caller.key)):
            async with Walletpush(gateway.address, tls=wrong, retry=Retry(deadline_s=0.3)) as client:
                with pytest.raises(Unavailable):
                    await client.send_now(payment())
    assert gateway.deliveries.authorization == ["Bearer wp_k"]


async def test_plain_text_stays_on_this_host_unless_told() -> None:
    with pytest.raises(ValueError, match="not on this host"):
        Walletpush("10.0.0.1:50051")
    for address in ("localhost:1", "127.0.0.9:1", "[::1]:1", "unix:/run/x.sock"):
        await Walletpush(address).close()
    await Walletpush("10.0.0.1:50051", insecure=True).close()


async def test_leaving_while_following_ends_the_iteration(gateway: SmallGateway) -> None:
    async with Walletpush(gateway.address) as client:
        watching = asyncio.ensure_future(told(client.watch_receipts("begin")))
        await gateway.deliveries.opened.acquire()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching


async def test_the_readmes_quick_start_runs_as_it_stands(
    gateway: SmallGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    code = readme.partition("```python\n")[2].partition("```")[0]
    assert "asyncio.run(main())" in code
    names: dict[str, object] = {}
    exec(code.replace("127.0.0.1:50051", gateway.address).replace("asyncio.run(main())", ""), names)
    main = names["main"]
    assert callable(main)
    await main()
    (taken,) = gateway.deliveries.accepted.values()
    assert capsys.readouterr().out == f"{taken[0]} NOTIFICATION_STATE_ACCEPTED\n"
