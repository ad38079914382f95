"""Train llmhard's GPT in PyTorch: in one process, or in several under torchrun.

    python examples/scale/train.py --out big
    torchrun --nproc-per-node 2 examples/scale/train.py --parallel ddp --out big
    python -m llmhard sample big

The text, the first parameters, the recipe and the order of the sentences are those of `llmhard
train`, and so are the losses. Needs: python -m pip install torch transformers
"""

import argparse
import os
from dataclasses import replace

import torch
import torch.distributed as dist
from documents import begin, in_order
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM

from llmhard import Matrix, export
from llmhard.model import GPT
from llmhard.model_file import SavedModel
from llmhard.recipe import THOROUGH
from llmhard.tokenizer import TOKENIZERS


def start(how):
    """This process's device and number, and how many processes there are."""
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    if how == "none":
        return device, 0, 1
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device, dist.get_rank(), dist.get_world_size()


def spread(model, how, device):
    """The model as it is, copied into each process (DDP), or with a part in each (FSDP2)."""
    if how == "ddp":
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None)
    if how == "fsdp":
        for block in model.h:
            fully_shard(block)
        fully_shard(model)
    return model


def padded(documents, device):
    """What is read and what should follow, [documents, tokens]; -100 where nothing should."""
    longest = max(map(len, documents)) - 1
    rows = [(d[:-1], d[1:], longest + 1 - len(d)) for d in documents]
    read = torch.tensor([tokens + [0] * short for tokens, _, short in rows], device=device)
    targets = torch.tensor([then + [-100] * short for _, then, short in rows], device=device)
    return read, targets


def learn(model, sentences, recipe, options, device, rank, world):
    """Take all steps; each process reads its share of the sentences of a step."""
    betas, decay = (recipe.beta1, recipe.beta2), recipe.weight_decay
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr, betas, recipe.eps, decay)
    half = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    for step in range(recipe.steps):
        batch = [next(sentences)[: options.context + 1] for _ in range(recipe.batch_size)]
        read, targets = padded(batch[rank::world], device)
        with half:
            logits = model(input_ids=read, use_cache=False).logits
        predicted = sum(len(document) - 1 for document in batch)  # by all processes
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / predicted
        (loss * world).backward()  # DDP and FSDP take the mean over the processes
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(step)
        optimizer.step()
        optimizer.zero_grad()
        if step % options.every == 0 or step == recipe.steps - 1:
            total = loss.detach().clone()
            if world > 1:
                dist.all_reduce(total)
            if rank == 0:
                print(f"step {step + 1:6,}   loss {total.item():.9f}", flush=True)


def main(options):
    recipe = replace(THOROUGH, steps=options.steps, batch_size=options.batch, lr=options.lr)
    device, rank, world = start(options.parallel)
    documents, saved = begin(options, recipe)
    if rank == 0:
        export.write(options.out, saved)
    if world > 1:
        dist.barrier()
    dtype = getattr(torch, options.dtype)
    model = AutoModelForCausalLM.from_pretrained(options.out, trust_remote_code=True, dtype=dtype)
    model = spread(model.to(device), options.parallel, device)
    learn(model, in_order(documents, options.seed), recipe, options, device, rank, world)
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(model, options=whole)
    if rank == 0:
        matrices = {
            name: Matrix.frombytes(numbers.double().numpy().tobytes(), *numbers.shape)
            for name, numbers in state.items()
        }
        trained = SavedModel(GPT(saved.model.config, matrices), saved.tokenizer, ())
        export.write(options.out, trained)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="one sentence a line (default: the bundled sentences)")
    parser.add_argument("--stream", action="store_true", help="read the text as it is needed")
    parser.add_argument("--tokenizer", choices=TOKENIZERS, default="word")
    parser.add_argument("--out", required=True, help="the folder that llmhard opens afterwards")
    parser.add_argument("--parallel", choices=["none", "ddp", "fsdp"], default="none")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--lr", type=float, default=THOROUGH.lr)
    numbers = {"width": 32, "layers": 2, "heads": 4, "context": 16, "steps": 2000, "batch": 16}
    for name, number in (numbers | {"seed": 42, "every": 100}).items():
        parser.add_argument(f"--{name}", type=int, default=number)
    main(parser.parse_args())
