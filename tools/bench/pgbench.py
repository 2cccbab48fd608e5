"""PostgreSQL's own speed: pgbench with one upserted row per transaction."""

import re

UPSERT = """\\set id random(1, 10000)
INSERT INTO installs VALUES (:id, 1, 1, 1, now())
ON CONFLICT (id) DO UPDATE SET version = installs.version + 1, monthly = installs.monthly + 1,
  monthly_gemini = installs.monthly_gemini + 1, last_active_at = now();
"""
CLIENTS = 64
SETTINGS = ["shared_buffers=512MB", "max_connections=200", "fsync=on", "synchronous_commit=on",
            "max_wal_size=4GB"]


class Pgbench:
    def __init__(self, server):
        self._server = server
        self._script = server.directory / "upsert.sql"
        self._script.write_text(UPSERT)
        self._script.chmod(0o644)
        server.sql("CREATE TABLE installs (id int PRIMARY KEY, version bigint, monthly bigint, "
                   "monthly_gemini bigint, last_active_at timestamptz) WITH (fillfactor = 50)")

    def rate(self, seconds):
        """Returns transactions per second."""
        output = self._server.run("pgbench", "-h", "127.0.0.1", "-p", self._server.port, "-U", "postgres",
                                "-n", "-M", "prepared", "-c", CLIENTS, "-j", 2, "-T",
                                round(max(1, seconds)), "-f", self._script, "postgres")
        return float(re.search(r"tps = ([\d.]+)", output)[1])
