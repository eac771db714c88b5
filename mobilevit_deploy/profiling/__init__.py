"""Where the time of an artifact goes: by module and by op, beside the machine's own peak."""

from mobilevit_deploy.profiling.profile import ProfileReport, ProfileRequest, profile_artifact

__all__ = ["ProfileReport", "ProfileRequest", "profile_artifact"]
