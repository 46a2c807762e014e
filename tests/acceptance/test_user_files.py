"""Files of users and the client's import: every line stored or told, going on where it ended."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.client import InvalidArgument, NotFound, Walletpush
from gateway.client.importing import ImportProgress
from protos.walletpush.v1 import preference_pb2, user_pb2
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.people import APP, a_no, a_yes, whole_user


def walletpush(gateway: Gateway, *words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "gateway", *words, "--address", gateway.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, done.stdout, done.stderr


def test_json_lines_are_imported_and_bad_ones_told(gateway: Gateway, tmp_path: Path) -> None:
    balance = {"money": {"currency": "EUR", "minor_units": "250"}}
    lines = [
        json.dumps({"user_id": f"f{n}", "attributes": {"points": n, "vip": n % 2 == 0, "balance": balance}})
        for n in range(2_500)
    ]
    lines[10], lines[20], lines[30] = "{", '{"user_id": "x", "phone": "12"}', '{"user_id": "x", "nothing": 1}'
    file, faults = tmp_path / "users.jsonl", tmp_path / "faults"
    file.write_text("\n".join(lines) + "\n\n")
    code, out, err = walletpush(gateway, "users", "import", str(file), "--app", APP, "--faults", str(faults))
    assert (code, out.strip()) == (1, "stored 2,497, not taken 3")
    assert sorted(line.partition("\t")[0] for line in faults.read_text().splitlines()) == ["11", "21", "31"]
    assert "line 21: " in err
    code, out, _ = walletpush(gateway, "users", "get", "f7", "--app", APP)
    told = json.loads(out)["attributes"]
    assert (told["points"], told["vip"], told["balance"]["money"]) == (
        {"integer": "7"}, {"flag": False}, balance["money"],
    )  # fmt: skip


def test_csv_names_its_fields_and_goes_on_at_a_line(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    head = "user_id,tags,attributes.city,external_ids.crm,time_zone"
    file.write_text(f'{head}\nc1,a;b,"Bonn, am Rhein",x1,Europe/Berlin\nc2,,,,\nc3,a\n')
    code, out, err = walletpush(gateway, "users", "import", str(file), "--app", APP)
    assert (code, out.strip()) == (1, "stored 2, not taken 1")
    assert "line 4: has 2 cells" in err
    code, out, _ = walletpush(gateway, "users", "get", "--external-id", "crm=x1", "--app", APP)
    told = json.loads(out)
    assert (told["user_id"], told["tags"], told["attributes"]["city"]["text"]) == ("c1", ["a", "b"], "Bonn, am Rhein")
    words = ("users", "import", str(file), "--app", APP, "--from-line", "3")
    assert walletpush(gateway, *words)[1].startswith("stored 1,")
    file.write_text("user_id,fone\n")
    assert walletpush(gateway, "users", "import", str(file), "--app", APP)[0] == 2


def test_preferences_are_set_and_shown_by_command(gateway: Gateway) -> None:
    words = ("u-cli", "--app", APP, "--json")
    said = ("--yes", "--category", "news", "--channel", "push", "--wording", "v1", "--evidence", "call 7")
    assert walletpush(gateway, "preferences", "set", *words, *said)[0] == 0
    told = json.loads(walletpush(gateway, "preferences", "get", *words)[1])["preferences"]
    news = [one["reason"] for one in told if one.get("allowed") and one["category"] == "news"]
    assert news == ["USER_CATEGORY_CHANNEL"]
    assert "USER_ALL" in walletpush(gateway, "preferences", "set", "u-cli", "--app", APP, "--no")[1]
    lines = walletpush(gateway, "preferences", "history", "u-cli", "--app", APP)[1].splitlines()
    assert [json.loads(line).get("evidence") for line in lines] == [None, "call 7"]
    assert [json.loads(line)["granted"] for line in lines] == [False, True]
    assert walletpush(gateway, "preferences", "set", "u-cli", "--app", APP)[0] == 2


async def test_the_client_keeps_users_and_what_they_said(gateway: Gateway) -> None:
    async with Walletpush(gateway.address) as client:
        stored = await client.users.upsert(whole_user("client"))
        assert (await client.users.find(APP, "crm", "crm-client")) == stored
        changed = await client.users.upsert(user_pb2.User(app=APP, user_id="client", locale="en"), "locale")
        assert (changed.locale, changed.tier) == ("en", "gold")
        windows = [preference_pb2.QuietWindow(end_minute=60)]
        await client.preferences.update(APP, "client", [a_yes(), a_no("news")], windows)
        told = await client.preferences.get(APP, "client")
        assert [one.end_minute for one in told.quiet_windows] == [60]
        assert [one.category async for one in client.preferences.history(APP, "client")] == ["news", "promotion"]
        assert await client.preferences.report_feedback(APP, "client", too_many=True) in {0, 1}
        await client.preferences.suppress(APP, "client", preference_pb2.Suppression(reason="moved"))
        assert await client.preferences.unsuppress(APP, "client")
        assert {one.category for one in await client.preferences.categories(APP)} >= {"news", "promotion"}
        assert await client.users.delete(APP, "client")
        with pytest.raises(NotFound):
            await client.users.get(APP, "client")
        with pytest.raises(InvalidArgument):
            await client.users.upsert(user_pb2.User(app=APP))


async def test_an_import_goes_on_over_a_killed_gateway(own_gateway: Callable[..., Gateway]) -> None:
    gateway = own_gateway()
    gateway.start()
    users = [user_pb2.User(app=APP, user_id=f"k{n}", phone="bad" if n == 4_321 else "") for n in range(5_000)]
    seen: list[ImportProgress] = []
    async with Walletpush(gateway.address) as client:
        async for progress in client.users.import_all(users, chunk=500):
            seen.append(progress)
            if len(seen) == 3:
                await asyncio.to_thread(gateway.kill)
                await asyncio.to_thread(gateway.start)
        assert (await client.users.get(APP, "k4999")).user_id == "k4999"
        assert (await client.users.get(APP, "k0")).user_id == "k0"
    assert (seen[-1].acknowledged, seen[-1].stored, seen[-1].failed) == (5_000, 4_999, 1)
    assert [place for progress in seen for place, _ in progress.failures] == [4_321]
