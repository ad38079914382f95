"""The compiled engine: the modules that setup.py builds from pyx/llmhard/engine/."""

from llmhard.level import choose

LEVEL = choose(__path__)  # of the processor that these modules are for, such as "v4"
