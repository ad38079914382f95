"""How fast llmhard is, beside C, PyTorch, JAX and plain Python: python -m benchmarks.run."""
