"""The compiled engine: the modules that setup.py makes of pyx/llmhard/engine/."""
