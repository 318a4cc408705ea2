"""Fixtures of the system tests: see harness.py."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import harness  # noqa: E402


@pytest.fixture
def store(tmp_path):
    """An empty local store and the environment of its user."""
    folder = tmp_path / "store"
    return folder, harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=folder)


@pytest.fixture
def processes():
    """`keep(Process(...))`: stopped at the end of the test."""
    kept = []

    def keep(process):
        kept.append(process)
        return process
    yield keep
    for process in reversed(kept):
        process.stop()


@pytest.fixture
def lab(tmp_path):
    """A hub with registered clients, no daemon yet."""
    made = harness.Lab(tmp_path)
    try:
        made.start_hub()
        made.register()
        made.write_config()
        yield made
    finally:
        made.stop()
