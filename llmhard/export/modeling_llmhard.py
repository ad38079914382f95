"""The GPT of llmhard in PyTorch, for Hugging Face's transformers.

What is unusual about it, compared with GPT-2 and Llama: a norm right after the embeddings and none
at the end; norms without gains, layers without biases; ReLU. The parameters have the names and
shapes that they have in llmhard/model.py, and each line there has its counterpart here, for all
tokens of all sentences at once: a mask does what reading token by token does there.

`llmhard export` copies this file beside the weights; nothing in llmhard imports it.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple

from .configuration_llmhard import LLMHardConfig


def rmsnorm(x, eps):
    """x / sqrt(mean(x^2) + eps), over the last dimension."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def eager_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    """softmax(K q / sqrt(head_dim)) V, written out; returns the mixtures and the weights.

    query, key and value are [sentences, heads, tokens, head_dim].
    """
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.dropout(torch.softmax(scores, dim=-1), dropout, module.training)
    return (weights @ value).transpose(1, 2), weights


class Attention(nn.Module):
    """What each token gathers from itself and the tokens before it."""

    def __init__(self, config, layer):
        super().__init__()
        n = config.n_embd
        self.config, self.layer_idx = config, layer
        self.head_dim, self.is_causal = config.head_dim, True
        self.num_key_value_groups = 1  # attention functions of transformers ask for it
        self.q_proj = nn.Linear(n, n, bias=False)
        self.k_proj = nn.Linear(n, n, bias=False)
        self.v_proj = nn.Linear(n, n, bias=False)
        self.o_proj = nn.Linear(n, n, bias=False)

    def forward(self, x, mask, cache, **more):
        shape = (*x.shape[:-1], self.config.n_head, self.head_dim)
        q, k, v = (
            project(x).view(shape).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if cache is not None:
            k, v = cache.update(k, v, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention
        )
        mixed, weights = attend(self, q, k, v, mask, scaling=self.head_dim**-0.5, **more)
        return self.o_proj(mixed.reshape(x.shape)), weights


class MLP(nn.Module):
    """Four times as many hidden units, those above zero kept, and back."""

    def __init__(self, config):
        super().__init__()
        self.up_proj = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.down_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x):
        return self.down_proj(torch.relu(self.up_proj(x)))


class Block(GradientCheckpointingLayer):
    """One layer: attention, then the MLP, each added to what comes in. FSDP shards by it."""

    def __init__(self, config, layer):
        super().__init__()
        self.eps = config.rms_norm_eps
        self.attn = Attention(config, layer)
        self.mlp = MLP(config)

    def forward(self, x, mask=None, cache=None, **more):
        mixed, weights = self.attn(rmsnorm(x, self.eps), mask, cache, **more)
        x = x + mixed
        return x + self.mlp(rmsnorm(x, self.eps)), weights


class LLMHardForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = LLMHardConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _no_split_modules = ["Block"]
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config):
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.08)

    def get_input_embeddings(self):
        return self.wte

    def set_input_embeddings(self, embeddings):
        self.wte = embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        cache=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        output_attentions=False,
        output_hidden_states=False,
        logits_to_keep=0,
        **more,
    ):
        x = self.wte(input_ids) if inputs_embeds is None else inputs_embeds
        if cache is None and use_cache:
            cache = DynamicCache(config=self.config)
        if position_ids is None:
            read = cache.get_seq_length() if cache is not None else 0
            position_ids = torch.arange(read, read + x.shape[1], device=x.device)[None]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=x,
            attention_mask=attention_mask,
            cache=cache,
            position_ids=position_ids,
        )
        x = rmsnorm(x + self.wpe(position_ids), self.config.rms_norm_eps)
        states, attentions = [x], []
        for block in self.h:
            x, weights = block(x, mask, cache, **more)
            states.append(x)
            attentions.append(weights)
        kept = x[:, -logits_to_keep:] if isinstance(logits_to_keep, int) else x[:, logits_to_keep]
        logits = self.lm_head(kept)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **more)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            cache=cache,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )
