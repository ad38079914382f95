"""The engines that train the recipe, each in a process of its own.

    python -m benchmarks.engines NAME FOLDER RUN

trains the first RUN steps of the recipe in FOLDER and prints JSON: `seconds` that they took,
`median` seconds of a step (if measured), `compiling` seconds before them (JAX), the peak `memory`
of the process (llmhard), and the `losses`. `versions` names the libraries. An
engine whose library is missing prints `missing`.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import subprocess
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.recipe import BETA1, BETA2, EPS_ADAM, EPS_RMSNORM, Recipe
from benchmarks.singles import peak

Result = dict[str, Any]


def _timed(step: Callable[[int], float], run: int) -> Result:
    times = [perf_counter()]
    losses = []
    for i in range(run):
        losses.append(step(i))
        times.append(perf_counter())
    between = [b - a for a, b in pairwise(times)]
    return {"seconds": times[-1] - times[0], "median": median(between), "losses": losses}


# ---------------------------------------------------------------- C


def c(folder: Path, run: int, program: str) -> Result:
    """Run the program that run.py compiled into the folder."""
    recipe = Recipe.read(folder)
    if run != recipe.steps:
        raise ValueError("the C baseline runs all steps of a recipe")
    losses = folder / f"{program}.losses"
    files = [folder / program, folder / "parameters.bin", folder / "tokens.bin"]
    command = [*map(str, files), str(run), str(recipe.lr), str(losses)]
    seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    numbers = array("d", losses.read_bytes()).tolist()
    return {"seconds": float(seconds), "losses": numbers, "versions": ""}


# ---------------------------------------------------------------- llmhard


def llmhard(folder: Path, run: int, replay: bool = True, threads: int = 1) -> Result:
    from llmhard.autograd import Matrix
    from llmhard.model import GPT
    from llmhard.recipe import Recipe as TrainingRecipe
    from llmhard.trainer import Trainer
    from llmhard.version import __version__

    recipe = Recipe.read(folder)
    if run != recipe.steps:
        raise ValueError("llmhard runs all steps of a recipe")
    matrices = {
        name: Matrix.frombytes(numbers.tobytes(), *shape)
        for name, (shape, numbers) in recipe.matrices().items()
    }
    model = GPT(recipe.config, matrices)
    times = [perf_counter()]
    training = TrainingRecipe(recipe.steps, recipe.batch_size, recipe.lr)
    trainer = Trainer(model, recipe.documents, training, replay=replay, threads=threads)
    trainer.run(lambda _: times.append(perf_counter()))
    between = [b - a for a, b in pairwise(times)]
    return {
        "seconds": times[-1] - times[0],
        "median": median(between),
        "losses": trainer.losses,
        "memory": peak(),
        "versions": f"llmhard {__version__}",
    }


# ---------------------------------------------------------------- plain Python


def python(folder: Path, run: int) -> Result:
    from benchmarks.scalar import Trainer

    recipe = Recipe.read(folder)
    trainer = Trainer(recipe)
    gc.disable()  # there are no cycles to find among the Values, only time to lose
    result = _timed(lambda i: trainer.step(recipe.documents[i % len(recipe.documents)]), run)
    return result | {"versions": f"Python {platform.python_version()}"}


# ---------------------------------------------------------------- PyTorch


def pytorch(folder: Path, run: int, fused: bool) -> Result:
    """Train on all positions of a sentence at once, with query, key and value as one matrix."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    recipe = Recipe.read(folder)
    config = recipe.config
    n = config.n_embd
    w = {
        name: torch.tensor(numbers).reshape(shape)
        for name, (shape, numbers) in recipe.matrices().items()
    }

    def parameter(*names: str) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.cat([w[name] for name in names]))

    wte, wpe, lm_head = map(parameter, ("wte.weight", "wpe.weight", "lm_head.weight"))
    layers = [
        (
            parameter(*(f"h.{i}.attn.{name}_proj.weight" for name in "qkv")),
            parameter(f"h.{i}.attn.o_proj.weight"),
            parameter(f"h.{i}.mlp.up_proj.weight"),
            parameter(f"h.{i}.mlp.down_proj.weight"),
        )
        for i in range(config.n_layer)
    ]

    def loss_of(tokens: torch.Tensor) -> torch.Tensor:
        length = len(tokens) - 1
        x = F.rms_norm(wte[tokens[:-1]] + wpe[:length], (n,), eps=EPS_RMSNORM)
        for qkv, out, up, down in layers:
            parts = F.linear(F.rms_norm(x, (n,), eps=EPS_RMSNORM), qkv)
            q, k, v = parts.view(1, length, 3, config.n_head, config.head_dim).permute(
                2, 0, 3, 1, 4
            )
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + F.linear(mixed.transpose(1, 2).reshape(length, n), out)
            hidden = F.relu(F.linear(F.rms_norm(x, (n,), eps=EPS_RMSNORM), up))
            x = x + F.linear(hidden, down)
        return F.cross_entropy(F.linear(x, lm_head), tokens[1:])

    parameters = [wte, wpe, lm_head, *(p for layer in layers for p in layer)]
    adam = torch.optim.Adam(
        parameters, lr=recipe.lr, betas=(BETA1, BETA2), eps=EPS_ADAM, fused=fused
    )
    documents = [torch.tensor(document) for document in recipe.documents]

    def step(i: int) -> float:
        loss = loss_of(documents[i % len(documents)])
        loss.backward()
        adam.param_groups[0]["lr"] = recipe.learning_rate(i)
        adam.step()
        adam.zero_grad()
        return loss.item()

    return _timed(step, run) | {"versions": f"PyTorch {torch.__version__}"}


# ---------------------------------------------------------------- JAX


def _jax() -> Any:
    """Return JAX in double precision, on one processor however many threads it starts."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_ENABLE_X64"] = "1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import jax

    return jax


def _jax_step(jax: Any, recipe: Recipe) -> Callable[..., Any]:
    """Return step((parameters, m, v), (tokens, length, step)) -> the same, and the loss.

    The tokens may continue after `length`; what is there has no effect.
    """
    jnp = jax.numpy
    config = recipe.config
    n, heads, d = config.n_embd, config.n_head, config.head_dim

    def rmsnorm(x: Any) -> Any:
        return x * (jnp.mean(x * x, axis=-1, keepdims=True) + EPS_RMSNORM) ** -0.5

    def loss_of(w: Any, tokens: Any, length: Any) -> Any:
        positions = tokens.shape[0] - 1
        causal = jnp.tril(jnp.ones((positions, positions), bool))
        x = rmsnorm(w["wte.weight"][tokens[:-1]] + w["wpe.weight"][:positions])
        for i in range(config.n_layer):
            normed, name = rmsnorm(x), f"h.{i}.attn."
            q, k, v = (
                (normed @ w[f"{name}{part}_proj.weight"].T).reshape(positions, heads, d)
                for part in "qkv"
            )
            scores = jnp.einsum("thd,shd->hts", q, k) / d**0.5
            weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
            mixed = jnp.einsum("hts,shd->thd", weights, v).reshape(positions, n)
            x = x + mixed @ w[name + "o_proj.weight"].T
            hidden = jax.nn.relu(rmsnorm(x) @ w[f"h.{i}.mlp.up_proj.weight"].T)
            x = x + hidden @ w[f"h.{i}.mlp.down_proj.weight"].T
        logp = jax.nn.log_softmax(x @ w["lm_head.weight"].T)
        losses = -jnp.take_along_axis(logp, tokens[1:, None], axis=1)[:, 0]
        return jnp.where(jnp.arange(positions) < length - 1, losses, 0).sum() / (length - 1)

    def step(state: Any, example: Any) -> Any:
        parameters, m, v = state
        tokens, length, i = example
        loss, grad = jax.value_and_grad(loss_of)(parameters, tokens, length)
        t = i + 1.0
        correction1, correction2 = 1 - BETA1**t, 1 - BETA2**t
        lr = recipe.lr * (1 - i / recipe.steps)

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - lr * (m / correction1) / (jnp.sqrt(v / correction2) + EPS_ADAM)

        each = jax.tree.map
        m = each(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grad)
        v = each(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grad)
        return (each(moved, parameters, m, v), m, v), loss

    return step


def _jax_start(jax: Any, recipe: Recipe) -> tuple[Any, Any, Any]:
    jnp = jax.numpy
    parameters = {
        name: jnp.array(numbers).reshape(shape)
        for name, (shape, numbers) in recipe.matrices().items()
    }
    m, v = (jax.tree.map(jnp.zeros_like, parameters) for _ in "mv")
    return parameters, m, v


def _jax_examples(recipe: Recipe, run: int) -> tuple[Any, Any, Any]:
    """Return each step's tokens, padded to the longest sentence, their number, and the step's."""
    import numpy

    documents = [recipe.documents[i % len(recipe.documents)] for i in range(run)]
    tokens = numpy.zeros((run, max(map(len, documents))), numpy.int32)
    for row, document in zip(tokens, documents, strict=True):
        row[: len(document)] = document
    lengths = numpy.array([len(document) for document in documents])
    return tokens, lengths, numpy.arange(run, dtype=float)


def jax_steps(folder: Path, run: int) -> Result:
    """Train with one call of a compiled function a step."""
    jax = _jax()
    recipe = Recipe.read(folder)
    examples = list(zip(*_jax_examples(recipe, run), strict=True))
    step = jax.jit(_jax_step(jax, recipe), donate_argnums=0)
    start = perf_counter()
    jax.block_until_ready(step(_jax_start(jax, recipe), examples[0]))
    compiling = perf_counter() - start

    state = _jax_start(jax, recipe)
    losses = []
    start = perf_counter()
    for example in examples:
        state, loss = step(state, example)
        losses.append(loss)
    jax.block_until_ready((state, losses))
    seconds = perf_counter() - start
    return _jax_result(jax, seconds, compiling, [float(loss) for loss in losses])


def jax_scan(folder: Path, run: int) -> Result:
    """Train with the whole loop as one lax.scan."""
    jax = _jax()
    recipe = Recipe.read(folder)
    examples = _jax_examples(recipe, run)
    scan = partial(jax.lax.scan, _jax_step(jax, recipe))
    start = perf_counter()
    compiled = jax.jit(scan).lower(_jax_start(jax, recipe), examples).compile()
    compiling = perf_counter() - start

    state = _jax_start(jax, recipe)
    start = perf_counter()
    _, losses = jax.block_until_ready(compiled(state, examples))
    return _jax_result(jax, perf_counter() - start, compiling, losses.tolist())


def _jax_result(jax: Any, seconds: float, compiling: float, losses: list[float]) -> Result:
    versions = f"JAX {jax.__version__}"
    return {"seconds": seconds, "compiling": compiling, "losses": losses, "versions": versions}


ENGINES: dict[str, Callable[[Path, int], Result]] = {
    "c": partial(c, program="baseline"),
    "c-intrinsics": partial(c, program="baseline-intrinsics"),
    "llmhard": llmhard,
    "llmhard-recorded": partial(llmhard, replay=False),
    "jax-scan": jax_scan,
    "jax": jax_steps,
    "pytorch-fused": partial(pytorch, fused=True),
    "pytorch": partial(pytorch, fused=False),
    "python": python,
}
# These can train several sentences a step.
OF_BATCHES: dict[str, Callable[[Path, int], Result]] = {
    "c": ENGINES["c"],
    "c-single": partial(c, program="baseline-single"),
    "llmhard": llmhard,
    "llmhard-threads": partial(llmhard, threads=2),
}


def main(arguments: Sequence[str]) -> None:
    name, folder, run = arguments
    try:
        result = (ENGINES | OF_BATCHES)[name](Path(folder), int(run))
    except ModuleNotFoundError as error:
        result = {"missing": error.name}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
