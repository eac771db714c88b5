"""The steps from a model to what a target is given, which exporting, inspecting and verifying share."""
