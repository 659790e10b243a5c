"""A robot on a real ROS 2, for tests that drive it as its users do.

`cargo xtask test-ros` builds the workspace, sources it and runs these under each RMW that is installed. Every test
has a ROS domain of its own, so that none sees what another leaves behind.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "sim" / "models"
PATIENCE_S = 60
# A shell's background job ignores interrupts, and what it starts would too.
signal.signal(signal.SIGINT, signal.default_int_handler)
RMW = os.environ.get("RMW_IMPLEMENTATION", "")
DOMAINS = iter(range(60, 100))


class Program:
    """A process whose output is kept, and which is gone when the test ends."""

    def __init__(self, command, log, env):
        self.log = log
        self.file = log.open("wb")
        self.process = subprocess.Popen(
            command, stdout=self.file, stderr=subprocess.STDOUT, env=env, start_new_session=True)

    def output(self):
        return self.log.read_text(errors="replace")

    def stop(self, sig=signal.SIGINT):
        """Its exit status after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def end(self):
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                pass
        self.file.close()


class World:
    """One ROS domain and what runs in it."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = []
        self.env = dict(
            os.environ, ROS_DOMAIN_ID=str(next(DOMAINS)), ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
            ROS_LOG_DIR=str(folder / "log"), PYTHONUNBUFFERED="1", RCUTILS_COLORIZED_OUTPUT="0")
        self.forget()

    def forget(self):
        """Stops the domain's daemon: the command line asks whichever runs, even one of another RMW that sees none of us."""
        subprocess.run(["ros2", "daemon", "stop"], env=self.env, capture_output=True, check=True, timeout=PATIENCE_S)

    def start(self, *command, name=None):
        name = name or pathlib.Path(command[0]).name
        program = Program([str(c) for c in command], self.folder / f"{len(self.programs)}-{name}.txt", self.env)
        self.programs.append(program)
        return program

    def executable(self, package, name):
        """The installed program itself: `ros2 run` would stand between it and its signals."""
        prefix = subprocess.run(
            ["ros2", "pkg", "prefix", package], env=self.env, capture_output=True, text=True, check=True).stdout.strip()
        return pathlib.Path(prefix) / "lib" / package / name

    def node(self, package, name, *ros_args):
        return self.start(self.executable(package, name), *(["--ros-args", *ros_args] if ros_args else []))

    def inference(self, *ros_args):
        return self.node("edgeflow_inference", "inference_node", *ros_args)

    def ros2(self, *arguments, check=True, timeout_s=PATIENCE_S):
        """What a `ros2` command prints. A daemon that has just begun does not know every node yet, so it is asked again."""
        deadline = time.monotonic() + timeout_s
        while True:
            done = subprocess.run(
                ["ros2", *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=timeout_s)
            unknown = check and "Node not found" in done.stdout + done.stderr
            if not unknown or time.monotonic() > deadline:
                break
        if check and done.returncode != 0:
            raise AssertionError(f"ros2 {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def until(self, look, what):
        """Asks again until it is true: the graph tells no program of the command line when it changes."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            seen = look()
            if seen:
                return seen
            self.all_run(what)
            assert time.monotonic() < deadline, f"{what} did not come to be; {self.outputs()}"
            time.sleep(0.2)

    def all_run(self, what):
        """Nothing comes of a program that has ended."""
        for program in self.programs:
            ended = program.process.poll()
            assert ended is None, f"while waiting for {what}, {program.log.name} ended with {ended}:\n{program.output()}"

    def outputs(self):
        return "\n".join(f"--- {p.log.name}\n{p.output()[-2000:]}" for p in self.programs)

    def end(self):
        for program in reversed(self.programs):
            program.end()
        self.forget()


def listens():
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 7447)) == 0


@pytest.fixture(scope="session", autouse=True)
def zenoh_router(tmp_path_factory):
    """rmw_zenoh wants a router; this one listens on loopback alone."""
    if RMW != "rmw_zenoh_cpp":
        yield None
        return
    assert not listens(), "another zenoh router listens on 127.0.0.1:7447; end it first, its graph is not ours"
    folder = tmp_path_factory.mktemp("router")
    prefix = subprocess.run(["ros2", "pkg", "prefix", "rmw_zenoh_cpp"], capture_output=True, text=True, check=True)
    command = pathlib.Path(prefix.stdout.strip()) / "lib" / "rmw_zenoh_cpp" / "rmw_zenohd"
    env = dict(os.environ, ZENOH_CONFIG_OVERRIDE='listen/endpoints=["tcp/127.0.0.1:7447"]')
    router = Program([str(command)], folder / "router.txt", env)
    deadline = time.monotonic() + PATIENCE_S
    while not listens():
        assert router.process.poll() is None and time.monotonic() < deadline, f"no zenoh router: {router.output()}"
        time.sleep(0.1)
    yield router
    router.end()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.end()


@pytest.fixture
def bundles():
    assert (MODELS / "v1" / "model.onnx").is_file(), "the models of sim/models are part of the repository"
    return MODELS


@pytest.fixture
def talker(world):
    """An rclpy node in the world's domain, for what the command line cannot do."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(world.env["ROS_DOMAIN_ID"]))
    node = rclpy.create_node("talker", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin_until(look, what, timeout_s=PATIENCE_S):
        deadline = time.monotonic() + timeout_s
        while not look():
            assert time.monotonic() < deadline, f"{what} did not come to be; {world.outputs()}"
            executor.spin_once(timeout_sec=0.05)

    node.spin_until = spin_until
    yield node
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def pytest_report_header():
    return f"RMW_IMPLEMENTATION={RMW}, ROS_DISTRO={os.environ.get('ROS_DISTRO')}, colcon={shutil.which('colcon')}"
