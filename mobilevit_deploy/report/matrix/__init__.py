"""The page of a whole sweep: models by targets and precisions, what changed, and what pays."""
