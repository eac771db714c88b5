"""What a user's own images say of an artifact beside PyTorch: one file for each kind of model."""
