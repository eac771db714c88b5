"""What computes: PyTorch, the rewritten graph, and what every opened artifact can be asked."""
