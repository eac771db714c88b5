"""The captured graph: ATen calls to match, weights to read, nodes to put in their place."""
