"""Core ML: converter, evaluator of ML Programs, compression, and what coremltools is known to get wrong."""
