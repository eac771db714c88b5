"""Where the time of an artifact goes: by module and by op, beside the machine's own peak."""

from mobilevit_deploy.measurement.profiling.profile import ProfileReport, ProfileRequest, profile_artifact

__all__ = ["ProfileReport", "ProfileRequest", "profile_artifact"]
