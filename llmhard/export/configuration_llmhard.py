"""The configuration of an llmhard GPT, for Hugging Face's transformers.

`llmhard export` copies this file beside the weights; transformers runs it if it is allowed to
(`trust_remote_code=True`). Nothing in llmhard imports it.
"""

from transformers import PretrainedConfig


class LLMHardConfig(PretrainedConfig):
    """The sizes of the model, under llmhard's names; transformers finds them under its own."""

    model_type = "llmhard"
    attribute_map = {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "block_size",
    }

    def __init__(
        self,
        vocab_size=597,
        n_layer=2,
        n_embd=32,
        n_head=4,
        block_size=16,
        rms_norm_eps=1e-5,
        **more,
    ):
        self.vocab_size = vocab_size
        self.n_layer = n_layer
        self.n_embd = n_embd
        self.n_head = n_head
        self.block_size = block_size
        self.rms_norm_eps = rms_norm_eps
        # One token, BOS, stands at both ends of a sentence; nothing else is left to pad with.
        more = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0} | more
        super().__init__(**{"tie_word_embeddings": False} | more)

    @property
    def head_dim(self):
        return self.n_embd // self.n_head
