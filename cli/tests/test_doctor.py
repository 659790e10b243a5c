"""`edgeflow doctor` on a machine and a control plane that really are broken in that way."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

BIN = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"])
TOKEN = "admin-token-of-this-test"
#: Nothing of the machine that the tests run on.
CLEAN = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": "/nonexistent", "HOME": "/nonexistent", "EDGEFLOW_ROS_ROUTER": "127.0.0.1:1"}


def doctor(*arguments, **environment):
    """Exit status and checks: name to `verdict: fact`. Every check that is not well has a remedy."""
    command = [BIN / "edgeflow", "doctor", "--output", "json", *map(str, arguments)]
    ran = subprocess.run(command, env=CLEAN | environment, capture_output=True, text=True, timeout=60)
    told = json.loads(ran.stdout)
    for check in told["checks"]:
        assert (check["verdict"] == "ok") == (check["remedy"] is None), check
    assert told["ok"] == (ran.returncode == 0) == all(check["verdict"] != "fail" for check in told["checks"]), ran.stderr
    found = {}
    for check in told["checks"]:
        found.setdefault(check["name"], []).append(f"{check['verdict']}: {check['fact']}")
    return ran.returncode, {name: "\n".join(facts) for name, facts in found.items()}


@contextlib.contextmanager
def running(command, first_line, **environment):
    process = subprocess.Popen(list(map(str, command)), env=CLEAN | environment, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert first_line in line, line
        yield process, line
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def server(folder, *arguments, tls=False, listen="127.0.0.1:0"):
    command = [BIN / "edgeflow-server", "--data-dir", folder, "--listen", listen, "--mqtt-listen", "127.0.0.1:0", *arguments]
    command += ["--tls"] if tls else []
    with running(command, "listening on", EDGEFLOW_ADMIN_TOKEN=TOKEN) as (process, line):
        urls = [word for word in line.split() if word.startswith("http")]
        yield process, urls[0], urls[-1]


def edgeflow(*arguments, **environment):
    ran = subprocess.run([BIN / "edgeflow", *map(str, arguments)], env=CLEAN | environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# This machine


def test_a_sound_machine_has_no_failures():
    with running([BIN / "edgeflow", "ros", "--router", "127.0.0.1:0", "router"], "listening on") as (_, line):
        code, checks = doctor(EDGEFLOW_ROS_ROUTER=line.split()[-1])
    assert code == 0, checks
    assert checks["router"].startswith("ok: a ROS router answers") and checks["domain"].startswith("ok")
    assert {"ros", "rmw", "onnxruntime", "disk", "clock", "identity", "edge log", "login"} <= checks.keys()


def test_no_router_is_a_warning_and_no_address_a_failure():
    code, checks = doctor()
    assert code == 0 and checks["router"].startswith("warn: no ROS router answers at 127.0.0.1:1")
    code, checks = doctor(EDGEFLOW_ROS_ROUTER="nowhere")
    assert code == 1 and checks["router"].startswith("fail") and "nowhere" in checks["router"]


@pytest.mark.parametrize(
    ("name", "environment", "verdict"),
    [
        ("rmw", {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}, "warn: RMW_IMPLEMENTATION is rmw_fastrtps_cpp"),
        ("rmw", {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, "ok"),
        ("rmw", {"ROS_DISTRO": "jazzy"}, "warn: RMW_IMPLEMENTATION is not set"),
        ("ros", {"ROS_DISTRO": "jazzy"}, "ok: ROS 2 jazzy is in this shell"),
        ("domain", {"ROS_DOMAIN_ID": "banana"}, 'fail: ROS_DOMAIN_ID is "banana"'),
        ("domain", {"ROS_DOMAIN_ID": "233"}, "fail"),
        ("domain", {"ROS_DOMAIN_ID": "42"}, "warn: ROS_DOMAIN_ID is 42"),
        ("zenoh", {"ZENOH_SESSION_CONFIG_URI": "/nonexistent.json5"}, "fail"),
        ("zenoh", {"ZENOH_CONFIG_OVERRIDE": "mode=\"client\""}, "warn"),
        ("discovery", {"ROS_LOCALHOST_ONLY": "1"}, "warn"),
    ],
)
def test_traps_in_the_environment(name, environment, verdict):
    code, checks = doctor(**environment)
    assert checks[name].startswith(verdict), checks
    assert code == (1 if verdict.startswith("fail") else 0), checks


def test_a_library_that_is_missing_none_cut_another_machines_or_too_old(tmp_path):
    """Made of a program of ours, which is an ELF file for this machine as the library is."""
    elf = (BIN / "check_model").read_bytes()
    assert b"VERS_1." not in elf
    library = tmp_path / "libonnxruntime.so.1.99.0"
    other = 183 if int.from_bytes(elf[18:20], "little") == 62 else 62
    for content, verdict in [
        (elf + b"\0VERS_1.23.2\0", "ok: "),
        (elf + b"\0VERS_1.20.1\0", "fail: "),
        (elf, "warn: "),
        (elf[: len(elf) // 2], "fail: "),
        (elf[:18] + other.to_bytes(2, "little") + elf[20:], "fail: "),
        (b"<html>not found</html>" * 10, "fail: "),
        (b"", "fail: "),
    ]:
        library.write_bytes(content)
        code, checks = doctor(ORT_DYLIB_PATH=str(library))
        assert checks["onnxruntime"].startswith(verdict + str(library)), (len(content), checks["onnxruntime"])
        assert code == (verdict == "fail: ")
        assert doctor("--onnxruntime", tmp_path)[1]["onnxruntime"] == checks["onnxruntime"], "a folder is searched"
    code, checks = doctor(ORT_DYLIB_PATH="/nonexistent/libonnxruntime.so")
    assert code == 1 and checks["onnxruntime"].startswith("fail: ORT_DYLIB_PATH names /nonexistent")


def test_the_real_library_is_told_with_its_version():
    real = os.environ.get("ORT_DYLIB_PATH")
    if not real:
        pytest.skip("ORT_DYLIB_PATH is not set")
    assert "version 1." in doctor(ORT_DYLIB_PATH=real)[1]["onnxruntime"]


def in_a_small_disk(options, fill, tmp_path):
    """What doctor says of a tmpfs in a mount namespace of its own."""
    script = f'mount -t tmpfs -o {options} tmpfs "$0" && {{ {fill}; }} 2>/dev/null; exec "$1" doctor --output json --log "$0"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", script, tmp_path, BIN / "edgeflow"]
    ran = subprocess.run(list(map(str, command)), env=CLEAN, capture_output=True, text=True, timeout=60)
    if "mount" in ran.stderr or "unshare" in ran.stderr:
        pytest.skip(f"this system lets no user mount a tmpfs: {ran.stderr}")
    [disk] = [check for check in json.loads(ran.stdout)["checks"] if check["name"] == "disk"]
    return disk["verdict"], disk["fact"]


def test_a_full_disk_and_one_without_inodes(tmp_path):
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    assert in_a_small_disk("size=64m", "true", tmp_path)[0] == "ok"
    verdict, fact = in_a_small_disk("size=64m", 'dd if=/dev/zero of="$0/full" bs=1M', tmp_path)
    assert verdict == "fail" and "0 B of 64.00 MiB" in fact
    verdict, fact = in_a_small_disk("size=64m,nr_inodes=200", 'i=0; while [ $i -lt 300 ]; do touch "$0/$i"; i=$((i+1)); done', tmp_path)
    assert verdict == "fail" and "0 of 200 inodes" in fact
    assert in_a_small_disk("size=64m", 'dd if=/dev/zero of="$0/much" bs=1M count=59', tmp_path)[0] == "warn"
    assert doctor("--log", "/nonexistent")[0] == 1


def test_a_clock_that_nobody_keeps(tmp_path):
    """By what the time services of a system say of themselves."""

    def says(**programs):
        for name in ("timedatectl", "chronyc"):
            (tmp_path / name).unlink(missing_ok=True)
        for name, text in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\necho '{text}'\n")
            (tmp_path / name).chmod(0o755)
        return doctor(PATH=str(tmp_path))[1]["clock"]

    assert says().startswith("warn: neither")
    assert says(timedatectl="yes").startswith("ok: timedatectl")
    assert says(timedatectl="no").startswith("fail: timedatectl says that it is not")
    assert says(chronyc="Leap status     : Normal").startswith("ok: chronyc")
    assert says(chronyc="Leap status     : Not synchronised").startswith("fail: chronyc")


def test_a_login_that_others_can_read(tmp_path):
    (tmp_path / "edgeflow").mkdir()
    file = tmp_path / "edgeflow" / "login.json"
    file.write_text(json.dumps({"url": "http://127.0.0.1:5000", "token": "s3cret", "ca": None}))
    file.chmod(0o644)
    code, checks = doctor(XDG_CONFIG_HOME=str(tmp_path))
    assert code == 1 and "others can read the token" in checks["login"]
    file.chmod(0o600)
    code, checks = doctor(XDG_CONFIG_HOME=str(tmp_path))
    assert code == 0 and checks["login"].startswith("ok") and "s3cret" not in str(checks)
    file.write_text("{")
    assert "does not read" in doctor(XDG_CONFIG_HOME=str(tmp_path))[1]["login"]


# A robot's identity and its log


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A control plane with TLS, and a robot that enrolled with it."""
    folder = tmp_path_factory.mktemp("secure")
    with server(folder / "data", "--local-listen", "127.0.0.1:0", tls=True) as (process, url, local):
        token, identity = folder / "bootstrap", folder / "identity"
        edgeflow("targets", "bootstrap", "robot-1", "--token-file", token, EDGEFLOW_URL=local, EDGEFLOW_TOKEN=TOKEN)
        edgeflow("enroll", "--token", token, "--server", url, "--out", identity)
        yield process, url, folder / "data" / "authority" / "ca.pem", identity


def test_an_identity_that_is_whole_exposed_cut_or_gone(secure, tmp_path):
    identity = tmp_path / "identity"
    shutil.copytree(secure[3], identity)
    code, checks = doctor("--identity", identity)
    assert code == 0 and checks["identity"].startswith("ok: the certificate of robot-1"), checks
    pem = identity / "robot.pem"
    whole = pem.read_text()
    pem.chmod(0o644)
    code, checks = doctor("--identity", identity)
    assert code == 1 and checks["identity"].startswith("fail") and "robot.pem" in checks["identity"]
    pem.chmod(0o600)
    for broken in [whole[: len(whole) // 2], "", whole.replace("BEGIN CERTIFICATE", "BEGIN CERT")]:
        pem.write_text(broken)
        assert doctor("--identity", identity)[0] == 1, broken
    pem.write_text(whole)
    (identity / "ca.pem").unlink()
    code, checks = doctor("--identity", identity)
    assert code == 1 and "ca.pem" in checks["identity"]


def test_an_identity_that_expired(secure, tmp_path):
    faketime = next(iter(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if faketime is None:
        pytest.skip("there is no libfaketime")
    for days, verdict in [("+26d", "warn"), ("+400d", "fail")]:
        assert doctor("--identity", secure[3], LD_PRELOAD=str(faketime), FAKETIME=days)[1]["identity"].startswith(verdict)


def test_an_edge_log_that_is_damaged(tmp_path):
    """Made by a bridge, whose control plane is not there."""
    data, token = tmp_path / "bridge", tmp_path / "token"
    token.write_text("token")
    with running([BIN / "edgeflow", "ros", "--router", "127.0.0.1:0", "router"], "listening on") as (_, line):
        command = [BIN / "bridge_node", "--ros-args"]
        for parameter in ["robot:=robot-1", f"data_dir:={data}", f"token_file:={token}", "mqtt:=127.0.0.1:1", "http:=http://127.0.0.1:1"]:
            command += ["-p", parameter]
        bridge = subprocess.Popen(list(map(str, command)), env=CLEAN | {"EDGEFLOW_ROS_ROUTER": line.split()[-1]})
        try:
            deadline = time.monotonic() + 60
            while "entries, 0 of them" in (told := doctor("--log", data)[1]["edge log"]) or not told.startswith("ok"):
                assert time.monotonic() < deadline and bridge.poll() is None, told
                time.sleep(0.2)
        finally:
            bridge.terminate()
            bridge.wait(timeout=20)
    [log] = [file for file in data.iterdir() if file.suffix == ".db"]
    code, checks = doctor("--log", data)
    assert code == 0 and checks["edge log"].startswith("ok"), checks
    whole = log.read_bytes()
    for broken in [whole[:100] + bytes(len(whole) - 100), b"no database" * 1000]:
        for beside in data.glob(log.name + "-*"):
            beside.unlink()
        log.write_bytes(broken)
        code, checks = doctor("--log", data)
        assert code == 1 and checks["edge log"].startswith("fail"), checks


# The control plane


def test_a_control_plane_that_is_well(tmp_path):
    with server(tmp_path) as (_, url, _):
        code, checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN=TOKEN)
        assert code == 0, checks
        for name in ["address", "reachable", "clock", "token", "version", "disk", "store"]:
            assert checks[name].startswith("ok"), checks
        assert checks["store"].count("ok: ") == 3
        code, checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN="guess")
        assert code == 1 and checks["token"].startswith("fail") and "401" in checks["token"] and "guess" not in str(checks)
        code, checks = doctor("--server", EDGEFLOW_URL=url)
        assert code == 1 and checks["token"] == "fail: there is none"
    code, checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN=TOKEN)
    assert code == 1 and checks["reachable"].startswith("fail"), "it has ended"


def test_a_control_plane_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        code, checks = doctor("--server", EDGEFLOW_URL=f"https://127.0.0.1:{deaf.getsockname()[1]}", EDGEFLOW_TOKEN=TOKEN)
    assert code == 1 and checks["ca"].startswith("fail: EDGEFLOW_CA is not set"), checks


def test_trust_and_its_ends(secure, tmp_path):
    _, url, ca, _ = secure
    code, checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN=TOKEN, EDGEFLOW_CA=str(ca))
    assert code == 0 and checks["tls"].startswith("ok") and checks["ca"].startswith("ok"), checks
    # A name it does not hold, another's CA, no CA, none at all.
    with server(tmp_path / "wide", "--local-listen", "127.0.0.1:0", tls=True, listen="0.0.0.0:0") as (_, wide, _):
        own = tmp_path / "wide" / "authority" / "ca.pem"
        for host, verdict in [("127.0.0.1", "ok"), ("127.0.0.2", "fail")]:
            code, checks = doctor("--server", EDGEFLOW_URL=wide.replace("0.0.0.0", host), EDGEFLOW_TOKEN=TOKEN, EDGEFLOW_CA=str(own))
            assert checks["tls"].startswith(verdict), checks
    assert "NotValidForName" in checks["tls"] or "does not name this address" in checks["tls"], checks
    with server(tmp_path / "other", "--local-listen", "127.0.0.1:0", tls=True):
        foreign = tmp_path / "other" / "authority" / "ca.pem"
        code, checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN=TOKEN, EDGEFLOW_CA=str(foreign))
    assert code == 1 and checks["tls"].startswith("fail") and "not the control plane" in checks["tls"], checks
    (tmp_path / "ca.pem").write_text("no certificate")
    for given in [tmp_path / "ca.pem", "/nonexistent"]:
        code, checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN=TOKEN, EDGEFLOW_CA=str(given))
        assert code == 1 and checks["ca"].startswith("fail"), checks
    with server(tmp_path / "plain") as (_, plain, _):
        code, checks = doctor("--server", EDGEFLOW_URL=plain.replace("http", "https"), EDGEFLOW_TOKEN=TOKEN, EDGEFLOW_CA=str(ca))
    assert code == 1, "it speaks no TLS"


def test_clocks_that_differ(tmp_path):
    faketime = next(iter(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if faketime is None:
        pytest.skip("there is no libfaketime")
    with server(tmp_path) as (_, url, _):
        for shift, verdict in [("+10s", "warn"), ("-2h", "fail")]:
            checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN=TOKEN, LD_PRELOAD=str(faketime), FAKETIME=shift)[1]
            assert checks["clock"].startswith(verdict), checks


def test_a_store_that_is_gone(tmp_path):
    with server(tmp_path / "data") as (_, url, _):
        for file in (tmp_path / "data").glob("registry.db*"):
            file.write_bytes(b"gone" * 4096)
        code, checks = doctor("--server", EDGEFLOW_URL=url, EDGEFLOW_TOKEN=TOKEN)
        assert code == 1 and "fail: registry does not answer" in checks["store"], checks
