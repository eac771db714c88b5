"""Programs that run in a process of their own, because they may crash, hang or disturb a measurement."""
