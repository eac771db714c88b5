"""ExecuTorch's worker in forks of one process, so that each starts at once."""

from collections.abc import Iterator

import pytest

from mobilevit_deploy.targets.executorch import runner
from tests.support.warm_worker import warm


@pytest.fixture(scope="package", autouse=True)
def warm_worker() -> Iterator[None]:
    with warm("executorch") as command, pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "CHILD", command)
        yield
