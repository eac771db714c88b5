"""The main job: load, capture, rewrite, convert, verify, publish."""
