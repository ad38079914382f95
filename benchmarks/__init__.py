"""How fast llmhard is compared with C, PyTorch, JAX and plain Python: python -m benchmarks.run."""
