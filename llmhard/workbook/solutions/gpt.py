"""The whole of it: learn from sentences.txt, save the model, read it back, write sentences.

Nothing to write here: when labs 02 to 08 pass, run it with `python gpt.py`.
"""

import gc
import random
from pathlib import Path

from model import GPT, Config
from sampling import generate
from saving import load, save
from tokenizer import Tokenizer
from training import train

STEPS = 100
LEARNING_RATE = 0.02  # so few steps have to be larger ones
SEED = 42
FOLDER = Path(__file__).parent


# Python looks for unused cycles after every 700 new objects; here there are a million and none.
gc.set_threshold(1_000_000)


def main():
    sentences = (FOLDER / "sentences.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer.from_sentences(sentences)
    rng = random.Random(SEED)
    rng.shuffle(sentences)
    documents = [tokenizer.encode_document(sentence) for sentence in sentences[:STEPS]]

    # The package's own model has n_layer=2, n_embd=32; on the compiled engine it is fast enough.
    model = GPT.initialize(Config(tokenizer.vocab_size, n_layer=1, n_embd=16), rng)
    print(f"{tokenizer.vocab_size} tokens, {len(model.scalars()):,} parameters")
    train(model, documents, STEPS, LEARNING_RATE, on_step=report)

    save(FOLDER / "mine.safetensors", model, tokenizer, training=[])
    model, tokenizer, _ = load(FOLDER / "mine.safetensors")
    for _ in range(10):
        print(tokenizer.decode(generate(model, rng)))


def report(step, loss):
    if step == 1 or step % 10 == 0:
        print(f"step {step} of {STEPS}  loss {loss:.2f}", flush=True)


if __name__ == "__main__":
    main()
