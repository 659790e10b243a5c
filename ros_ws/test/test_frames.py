"""Cameras: bursts, large frames, qualities of service that do not meet, and simulated time."""

import array
import time

from conftest import RMW
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

NODE = "/inference_node"
RELIABLE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
SERVED = []
if RMW == "rmw_zenoh_cpp":
    # Reliable and yet not kept: a publisher that keeps only the last drops when the link is busy, one that keeps all waits.
    RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)
    SERVED = ["-p", f"qos_overrides.{NODE}/result.publisher.history:=keep_all"]


def frame(width, height, stamp, encoding="mono8", channels=1):
    from sensor_msgs.msg import Image

    image = Image(width=width, height=height, step=width * channels, encoding=encoding)
    image.data = array.array("B", bytes(width * height * channels))
    image.header.stamp.sec = stamp
    return image


def serving(world, bundles, *ros_args):
    program = world.inference(
        "-p", f"bundle_path:={bundles / 'v1'}", "-p", f"qos_overrides.{NODE}/image.subscription.reliability:=reliable", *SERVED, *ros_args)
    world.until(lambda: "active [3]" in world.ros2("lifecycle", "get", NODE, check=False), "an active node")
    return program


class Ears:
    """Hears every result."""

    def __init__(self, talker):
        from edgeflow_msgs.msg import InferenceResult

        self.stamps = []
        self.subscription = talker.create_subscription(
            InferenceResult, f"{NODE}/result", lambda r: self.stamps.append(r.header.stamp.sec), RELIABLE)


def camera(talker, ears, qos=RELIABLE):
    from sensor_msgs.msg import Image

    publisher = talker.create_publisher(Image, f"{NODE}/image", qos)
    talker.spin_until(
        lambda: publisher.get_subscription_count() == 1 and talker.count_publishers(ears.subscription.topic_name) == 1, "both ends")
    return publisher


def diagnostics(talker):
    from diagnostic_msgs.msg import DiagnosticArray

    seen = {}
    talker.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: seen.update({v.key: v.value for s in m.status for v in s.values}), 10)
    return seen


def test_a_burst_of_200_reliable_frames_loses_none_under_all(world, bundles, talker):
    serving(world, bundles, "-p", "queue_policy:=all")
    ears = Ears(talker)
    publisher = camera(talker, ears)
    for stamp in range(200):
        publisher.publish(frame(640, 480, stamp))
    talker.spin_until(lambda: len(ears.stamps) >= 200, "200 results")
    assert ears.stamps == list(range(200))


def test_latest_counts_what_it_dropped(world, bundles, talker):
    serving(world, bundles, "-p", "queue_policy:=latest")
    ears, seen = Ears(talker), diagnostics(talker)
    publisher = camera(talker, ears)
    for stamp in range(200):
        publisher.publish(frame(1280, 720, stamp))
    talker.spin_until(lambda: ears.stamps[-1:] == [199], "a result of the newest frame")
    talker.spin_until(lambda: len(ears.stamps) + int(seen.get("frames dropped", 0)) == 200, "a count of every frame")
    assert int(seen["frames dropped"]) > 0 and ears.stamps == sorted(ears.stamps)


def test_150_frames_of_1080p_at_30_hz_are_all_received(world, bundles, talker):
    serving(world, bundles)
    ears = Ears(talker)
    publisher = camera(talker, ears)
    image = frame(1920, 1080, 0, "rgb8", 3)
    began = time.monotonic()
    for stamp in range(150):
        image.header.stamp.sec = stamp
        publisher.publish(image)
        talker.spin_until(lambda due=began + (stamp + 1) / 30: time.monotonic() >= due, "the next frame's time")
    talker.spin_until(lambda: len(ears.stamps) >= 150, "150 results")
    assert ears.stamps == list(range(150))


def test_a_camera_whose_qos_does_not_meet_is_warned_about_by_name(world, bundles, talker):
    from sensor_msgs.msg import Image

    program = serving(world, bundles)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
    talker.create_publisher(Image, f"{NODE}/image", best_effort)
    talker.spin_until(lambda: "/talker" in program.output(), "a warning")
    warning = next(line for line in program.output().splitlines() if "/talker" in line)
    assert "WARN" in warning and "reliab" in warning and f"{NODE}/image" in warning


def test_simulated_time_stamps_what_the_node_says(world, bundles, talker):
    from edgeflow_msgs.msg import DeploymentStatus
    from rosgraph_msgs.msg import Clock

    clock = talker.create_publisher(Clock, "/clock", 1)
    serving(world, bundles, "-p", "use_sim_time:=true")
    talker.spin_until(lambda: clock.get_subscription_count() == 1, "a node that listens to the clock")
    statuses = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    talker.create_subscription(DeploymentStatus, f"{NODE}/status", statuses.append, latched)
    now = Clock()
    now.clock.sec = 1234
    clock.publish(now)
    talker.spin_until(lambda: statuses, "the latched status")
    world.ros2("service", "call", f"{NODE}/load_model", "edgeflow_msgs/srv/LoadModel", f"{{bundle_path: {bundles / 'v2'}}}")
    talker.spin_until(lambda: statuses[-1].status == DeploymentStatus.ACTIVE and statuses[-1].stamp.sec == 1234, "a simulated stamp")
