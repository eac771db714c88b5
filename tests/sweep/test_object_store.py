"""Sweeps into an object store: Amazon's S3 interface, played by a server of this machine."""

import json
from collections.abc import Callable, Iterator

import pytest

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.report.matrix.record import Sweep
from mobilevit_deploy.sweep.run import read_index
from mobilevit_deploy.sweep.store import Store
from tests.sweep.conftest import Simulation

pytestmark = pytest.mark.slow

URL = "s3://bucket/a/sweep"


def files_of(sweep: Sweep) -> list[tuple[str, str | None, str | None]]:
    return [(cell.id, cell.artifact, cell.sha256) for cell in sweep.cells]


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Starts the server, with an empty bucket; yields what ends it."""
    import boto3
    import s3fs
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    started = ThreadedMotoServer(port=0, verbose=False)
    started.start()
    s3_backends.reset()  # what an earlier server of this process had
    host, port = started.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-a-test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield started.stop
    started.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("stop")
def test_a_sweep_and_what_is_not_made_again(simulation: Simulation) -> None:
    simulation.write(3)
    first = simulation.run(out=URL)
    assert [cell.status for cell in first.cells] == ["done"] * 3
    assert read_index(URL) == first
    store = Store(URL)
    for cell in first.cells:
        assert cell.artifact
        assert store.read(cell.artifact)
        assert (store.cell(cell.digest or "") or {})["sha256"] == cell.sha256
    simulation.write(4)
    second = simulation.run(out=URL)
    assert files_of(second)[:3] == files_of(first)
    assert simulation.attempts() == {f"c{number}": 1 for number in range(4)}


@pytest.mark.usefixtures("stop")
def test_a_cell_whose_record_is_gone_is_made_again(simulation: Simulation) -> None:
    """``cell.json`` comes last, so that what has none does not exist, whatever else lies there."""
    simulation.write(2)
    lost, kept = simulation.run(out=URL).cells
    store = Store(URL)
    store._files.rm_file(f"bucket/a/sweep/cells/{lost.digest}/cell.json")
    store._files.invalidate_cache()
    again = simulation.run(out=URL).cells
    assert [cell.sha256 for cell in again] == [lost.sha256, kept.sha256]
    assert simulation.attempts() == {"c0": 2, "c1": 1}


@pytest.mark.usefixtures("stop")
def test_an_interrupted_sweep_goes_on(simulation: Simulation) -> None:
    simulation.write(2)
    ended = simulation.run(out=URL)
    document = json.loads(Store(URL).read("sweep.json") or b"")
    Store(URL).write("sweep.json", json.dumps({**document, "made": ""}).encode())
    with pytest.raises(OutputError, match="has not ended"):
        simulation.run(out=URL)
    assert files_of(simulation.run(out=URL, resume=True)) == files_of(ended)
    assert simulation.attempts() == {"c0": 1, "c1": 1}


@pytest.mark.usefixtures("stop")
def test_a_bucket_that_there_is_not(simulation: Simulation) -> None:
    simulation.write(1)
    with pytest.raises(OutputError, match=r"cannot use s3://mistyped/sweep: .*bucket"):
        simulation.run(out="s3://mistyped/sweep")
    with pytest.raises(OutputError, match="there is no sweep in"):
        read_index("s3://mistyped/sweep")


def test_a_server_that_is_gone(stop: Callable[[], None], simulation: Simulation) -> None:
    simulation.write(1)
    stop()
    with pytest.raises(OutputError, match="cannot use s3://bucket/a/sweep"):
        simulation.run(out=URL)
