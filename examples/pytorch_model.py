"""The GPT in PyTorch, from model.safetensors. Needs: python -m pip install torch safetensors"""

import json

from safetensors.torch import load_model, safe_open
from torch import nn, tensor


class GPT(nn.Module):
    def __init__(self, vocab_size, n_layer, n_embd, n_head, block_size):
        super().__init__()
        n, m, self.split = n_embd, 4 * n_embd, nn.Unflatten(-1, (n_head, -1))
        self.wte, self.wpe = nn.Embedding(vocab_size, n), nn.Embedding(block_size, n)
        self.h, self.lm_head = nn.ModuleList(), nn.Linear(n, vocab_size, bias=False)
        self.norm = nn.RMSNorm(n, eps=1e-5, elementwise_affine=False)
        for _ in range(n_layer):
            attn = {f"{i}_proj": nn.Linear(n, n, bias=False) for i in "qkvo"}
            mlp = {"up_proj": nn.Linear(n, m, bias=False), "down_proj": nn.Linear(m, n, bias=False)}
            self.h.append(nn.ModuleDict({"attn": nn.ModuleDict(attn), "mlp": nn.ModuleDict(mlp)}))

    def forward(self, tokens):  # [..., tokens] to logits [..., tokens, vocab_size]
        x = self.norm(self.wte(tokens) + self.wpe.weight[: tokens.shape[-1]])
        for attn, mlp in (block.values() for block in self.h):
            qkv = (self.split(attn[f"{i}_proj"](self.norm(x))).transpose(-3, -2) for i in "qkv")
            heads = nn.functional.scaled_dot_product_attention(*qkv, is_causal=True)
            x = x + attn.o_proj(heads.transpose(-3, -2).flatten(-2))
            x = x + mlp.down_proj(mlp.up_proj(self.norm(x)).relu())
        return self.lm_head(x)


def load(path):
    content = json.loads(safe_open(path, "pt").metadata()["llmhard"])
    load_model(model := GPT(**content["config"]).double(), path)
    return model, ["(end)", *content["vocabulary"]]


if __name__ == "__main__":  # the likeliest next words
    model, words = load("model.safetensors")
    logits = model(tensor([0, *map(words.index, input("How does it begin? ").split())]))[-1]
    print(*(words[token] for token in logits.topk(5).indices))
