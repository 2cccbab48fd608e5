"""A ledger from an earlier release, which was killed, opens without loss and continues.

tests/data/ledger-v2 is such a ledger, with that release's answers about it in told.json. The months of its
rows may have passed since, so their monthly counters are not compared; entries never change."""

import json
import shutil

import pytest

import creditsctl
from creditsctl import check_done
from creditsd import REPO
from traffic import history, path_of

LEDGERS = REPO / "tests/data"
LASTING = ["version", "tier_snapshot", "lifetime_consumed", "lifetime_gemini_consumed", "last_active_at"]


def lasting(installs):
    return {install_id: [install[name] for name in LASTING] for install_id, install in installs.items()}


@pytest.mark.parametrize("with_snapshots", [True, False], ids=["whole", "journal-alone"])
def test_a_ledger_from_an_earlier_release_opens_and_continues(start, connect, data_dir, with_snapshots):
    for path in (LEDGERS / "ledger-v2").iterdir():
        if path.suffix != ".json" and (with_snapshots or path.name.startswith("journal")):
            shutil.copy(path, data_dir)
    expected = json.loads((LEDGERS / "ledger-v2/told.json").read_text())
    server = start()
    client = connect(server)
    installs, entries = history(client)
    assert entries == expected["entries"]
    assert lasting(installs) == lasting(expected["installs"])
    for install_id, install in installs.items():
        answer = client.post(f"{path_of(install_id)}/commit", {"backend": "gemini", "tier": "core"})
        # A reservation in it has expired since, which takes a version.
        assert answer.status == 200 and answer.json["version"] > install["version"]
        assert answer.json["lifetime_consumed"] == install["lifetime_consumed"] + 1
    assert server.stop() == 0
    check_done(creditsctl.run("check", data_dir))
