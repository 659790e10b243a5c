"""A snapshot of a real inference_node, read by PyPI's stock MCAP reader, which knows nothing of our interfaces."""

import os
import pathlib
import re
import socket
import subprocess

import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

BIN = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"])
LABEL_READER = pathlib.Path(__file__).resolve().parents[4] / "sim/models/v2"
SIZE = 96
FRAMES = 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pixels(stamp: int) -> bytes:
    return bytes((stamp * 31 + i * 7) % 256 for i in range(SIZE * SIZE))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """The recording of a few frames, and the answer of the service that wrote it."""
    folder = tmp_path_factory.mktemp("snapshots")
    environment = {**os.environ, "EDGEFLOW_ROS_ROUTER": f"127.0.0.1:{free_port()}"}

    def ros(*arguments):
        done = subprocess.run([BIN / "edgeflow", "ros", *arguments], env=environment, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout

    parameters = {"bundle_path": LABEL_READER, "snapshot_dir": folder, "slots": "[default]"}
    arguments = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    arguments += ["-r", "~/image:=/camera/image", "-p", "qos_overrides./camera/image.subscription.reliability:=reliable"]
    router = subprocess.Popen([BIN / "edgeflow", "ros", "router"], env=environment)
    node = None
    try:
        node = subprocess.Popen([BIN / "inference_node", "--ros-args", *arguments], env=environment, stderr=subprocess.PIPE, text=True)
        assert any("model active" in line for line in node.stderr)
        for stamp in range(1, FRAMES + 1):
            header = {"stamp": {"sec": stamp, "nanosec": 5}, "frame_id": "camera"}
            image = {"header": header, "height": SIZE, "width": SIZE, "encoding": "mono8", "step": SIZE, "data": list(pixels(stamp))}
            (folder / "image.yaml").write_text(yaml.safe_dump(image), encoding="utf-8")
            ros("topic", "pub", "--once", "/camera/image", "sensor_msgs/msg/Image", f"@{folder / 'image.yaml'}")
        # Published is not yet computed.
        for _ in range(100):
            text = ros("service", "call", "/inference_node/save_snapshot", "edgeflow_msgs/srv/SaveSnapshot", "{}")
            # The request is shown before the answer, and has a path, too.
            answer = {key: re.findall(rf"^\s*{key}: (.*)$", text, re.MULTILINE)[-1] for key in ("success", "path", "frames", "message")}
            if answer["frames"] == str(FRAMES):
                break
        yield answer
    finally:
        for process in filter(None, (node, router)):
            process.terminate()
        if node:
            node.stderr.close()
            assert node.wait(timeout=20) == 0
        router.wait(timeout=20)


def test_images_are_those_that_were_sent_and_results_are_beside_them(snapshot):
    assert snapshot["success"] == "true" and snapshot["frames"] == str(FRAMES), snapshot
    seen = {}
    with open(snapshot["path"].strip("\"'"), "rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        for schema, channel, message, decoded in reader.iter_decoded_messages():
            assert message.log_time > 1_600_000_000_000_000_000
            seen.setdefault((channel.topic, schema.name), []).append(decoded)
    assert set(seen) == {("/camera/image", "sensor_msgs/msg/Image"), ("/inference_node/result", "edgeflow_msgs/msg/InferenceResult")}
    images = seen["/camera/image", "sensor_msgs/msg/Image"]
    assert [(image.header.stamp.sec, image.header.stamp.nanosec, image.header.frame_id) for image in images] == [
        (stamp, 5, "camera") for stamp in range(1, FRAMES + 1)
    ]
    assert [bytes(image.data) for image in images] == [pixels(stamp) for stamp in range(1, FRAMES + 1)]
    assert all((image.width, image.height, image.step, image.encoding) == (SIZE, SIZE, SIZE, "mono8") for image in images)
    for result in seen["/inference_node/result", "edgeflow_msgs/msg/InferenceResult"]:
        assert result.model_digest.startswith("sha256:") and len(result.scores) == 10
        assert result.label == str(result.class_id) and abs(max(result.scores) - result.score) < 1e-6
