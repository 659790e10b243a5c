"""The launch tests, for a runner that knows pytest only; colcon runs them by themselves."""

import subprocess
from pathlib import Path

import pytest

FILES = sorted(Path(__file__).parent.glob('launch_test_*.py'))


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_launch(file):
    done = subprocess.run(['launch_test', str(file)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f'{done.stdout[-12000:]}\n{done.stderr[-4000:]}'


def test_there_are_some():
    assert len(FILES) >= 3
