"""Write a model as a folder that Hugging Face's transformers opens, and read such a folder.

`configuration_llmhard.py` and `modeling_llmhard.py` go into the folder as they are; they import
transformers, so nothing here imports them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from importlib import resources
from pathlib import Path
from typing import Any

from llmhard import files, tensor_file
from llmhard.export.tokenizer_json import BOS_TOKEN, describe
from llmhard.layers import RMSNORM_EPS
from llmhard.model import Config
from llmhard.model_file import MODEL, SavedModel, assembled, read_description
from llmhard.model_file import describe as describe_model
from llmhard.tensor_file import ModelFileError, TensorFile
from llmhard.tokenizer import BOS, TOKENIZERS

CONFIG = "config.json"
CODE = ("configuration_llmhard.py", "modeling_llmhard.py")
WEIGHTS = "model.safetensors"
ENDS = dict.fromkeys(["bos_token_id", "eos_token_id", "pad_token_id"], BOS)


def write(folder: str | os.PathLike[str], saved: SavedModel) -> list[Path]:
    """Write the files into a folder, making it if necessary; return their paths.

    `transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)` opens it.
    The weights stay float64 in the file, and llmhard opens them, too. Raises OSError.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        CONFIG: _json(_config(saved.model.config, saved.tokenizer.kind)),
        "generation_config.json": _json(_generation(saved.model.config)),
        "tokenizer.json": _json(describe(saved.tokenizer)),
        "tokenizer_config.json": _json(_tokenizer_config(saved.model.config)),
    } | {name: resources.files(__name__).joinpath(name).read_bytes() for name in CODE}
    for name, content in contents.items():
        files.write_atomically(folder / name, content)
    description = describe_model(saved.model.config, saved.tokenizer, saved.records)
    parameters = saved.model.parameters
    tensor_file.write(folder / WEIGHTS, MODEL, description, parameters, {"format": "pt"})
    return [*(folder / name for name in contents), folder / WEIGHTS]


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder says that its model is one of ours."""
    try:
        config = json.loads((Path(path) / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("model_type") == MODEL


def read(folder: str | os.PathLike[str]) -> SavedModel:
    """Return the model in a folder written by `write` or by transformers' `save_pretrained`.

    Numbers of less than double precision become float64. How the model was trained is known only
    if llmhard wrote the weights. Raises OSError if a file cannot be read, ModelFileError if it is
    not a model of ours.
    """
    folder = Path(folder)
    file = TensorFile(folder / WEIGHTS)
    try:
        said = _object(folder / CONFIG)
        if said.get("model_type") != MODEL:
            raise ModelFileError(f"{CONFIG} is of the model type {said.get('model_type')!r}")
        config = Config(**{field.name: said[field.name] for field in fields(Config)})
        words = _object(folder / "tokenizer.json")["model"]["vocab"]
        if not isinstance(words, dict) or sorted(words.values()) != list(range(len(words))):
            raise ModelFileError("the ids in tokenizer.json are not 0, 1, 2, ...")
        tokenizer = TOKENIZERS[said["tokenizer"]](sorted(words, key=words.__getitem__)[BOS + 1 :])
        records = read_description(file.description(MODEL))[2] if file.is_kind(MODEL) else ()
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"it is not a model that llmhard exported: {error!r}") from None
    return assembled(config, tokenizer, records, file, narrow=True)


def _object(path: Path) -> dict[str, Any]:
    content = json.loads(files.read(path))
    if not isinstance(content, dict):
        raise ModelFileError(f"{path.name} holds no JSON object")
    return content


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _config(config: Config, kind: str) -> dict[str, object]:
    return {
        "architectures": ["LLMHardForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_llmhard.LLMHardConfig",
            "AutoModelForCausalLM": "modeling_llmhard.LLMHardForCausalLM",
        },
        "model_type": "llmhard",
        **asdict(config),
        "tokenizer": kind,
        "rms_norm_eps": RMSNORM_EPS,
        **ENDS,
        "tie_word_embeddings": False,
        "dtype": "float32",
    }


def _generation(config: Config) -> dict[str, object]:
    """Return the generation settings: after block_size tokens, one more can follow."""
    return {**ENDS, "max_length": config.block_size + 1}


def _tokenizer_config(config: Config) -> dict[str, object]:
    names = dict.fromkeys(["bos_token", "eos_token", "pad_token"], BOS_TOKEN)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "model_max_length": config.block_size,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
    }
