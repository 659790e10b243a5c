"""The bridge on a real ROS 2: what it is told is on the disk when it ends."""

import contextlib
import signal
import sqlite3

import pytest


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_log_closed(world, talker, tmp_path, sig):
    from edgeflow_msgs.msg import MissionEvent

    data = tmp_path / "bridge"
    token = tmp_path / "token"
    token.write_text("unused: nothing listens there\n")
    token.chmod(0o600)
    bridge = world.node(
        "edgeflow_bridge", "bridge_node", "-p", "robot:=robot-1", "-p", f"data_dir:={data}", "-p", f"token_file:={token}",
        "-p", "mqtt:=127.0.0.1:9", "-p", "http:=http://127.0.0.1:9")
    missions = talker.create_publisher(MissionEvent, "/mission", 10)
    talker.spin_until(lambda: missions.get_subscription_count() == 1, "the bridge")
    missions.publish(MissionEvent(mission_id="m-1", sequence=1))
    found = lambda: [p for p in data.rglob("*") if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3"]

    def recorded():
        return any(
            b"m-1" in (value if isinstance(value, bytes) else str(value).encode())
            for log in found() for row in rows(log) for value in row)

    talker.spin_until(recorded, "the event in the log")
    assert bridge.stop(sig) == 0, bridge.output()
    assert not list(data.rglob("*-wal")), "a closed log has no write-ahead file"
    assert recorded()


def rows(path):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as log:
        tables = [name for (name,) in log.execute("select name from sqlite_master where type = 'table'")]
        return [row for table in tables for row in log.execute(f'select * from "{table}"')]
