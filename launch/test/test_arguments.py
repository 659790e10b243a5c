"""Each launch file says what its arguments are for, and can be included in another."""

from pathlib import Path

import pytest
from launch.launch_description_sources import get_launch_description_from_python_launch_file

FILES = sorted((Path(__file__).parent.parent / 'launch').glob('*.launch.py'))


def arguments(file):
    return get_launch_description_from_python_launch_file(str(file)).get_launch_arguments()


def test_there_are_launch_files():
    assert {file.name for file in FILES} >= {'robot.launch.py', 'standalone.launch.py', 'sim_fleet.launch.py', 'demo.launch.py'}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_every_argument_is_described_and_has_a_default(file):
    assert arguments(file)
    for argument in arguments(file):
        assert len(argument.description) > 15, argument.name
        assert argument.default_value is not None, argument.name
