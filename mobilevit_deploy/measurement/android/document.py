"""Attached Android phones as JSON; the keys are a contract with scripts and CI: add to them, do not change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilevit_deploy.errors import MvdError
    from mobilevit_deploy.measurement.android.attached import AttachedPhone


def phones_document(attached: Sequence[AttachedPhone], problem: MvdError | None) -> dict[str, Any]:
    """Returns the attached phones with what stands in the way, and why they cannot be looked for, if so."""
    return {
        "attached": [_phone_document(phone) for phone in attached],
        "problem": None if problem is None else {"message": problem.message, "hint": problem.hint},
    }


def _phone_document(phone: AttachedPhone) -> dict[str, Any]:
    obstacles = phone.obstacles()
    return {
        "serial": phone.serial,
        "state": phone.state,
        "maker": phone.maker,
        "model": phone.model,
        "chip": phone.chip,
        "os": phone.os if phone.ready else "",
        "api_level": phone.api_level,
        "abis": list(phone.abis),
        "emulated": phone.emulated,
        "profile": phone.profile.name if phone.profile else None,
        "ready": not obstacles,
        "obstacles": [vars(obstacle) for obstacle in obstacles],
    }
