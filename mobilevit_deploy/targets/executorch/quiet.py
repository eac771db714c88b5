"""ExecuTorch without what it logs and warns of while it is imported and lowers, which no user can do anything about."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mobilevit_deploy.graph.quiet import quiet_torch


@contextmanager
def quiet_executorch() -> Iterator[None]:
    """Keeps what ExecuTorch logs and warns of while it lowers from the user, who can do nothing about it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet_torch(), torch.no_grad():
            yield
    finally:
        logging.disable(before)
