"""Whether an artifact computes what PyTorch computed, and where it does not."""
