import marimo

__generated_with = "0.25.2"
app = marimo.App()


@app.cell
def _():
    import marimo as mo

    return (mo,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    # A language model, and every number in it

    Here a small GPT learns from 30,000 sentences and writes some of its own, and you can look at
    every number on the way. Run the cells one after the other; training takes some seconds.
    """)
    return


@app.cell
def _():
    import llmhard

    model = llmhard.train(preset="classic", seed=1)
    return (model,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    Your own text works as well: `llmhard.train("my.txt")`, one sentence a line, or a list of
    sentences. What has been trained before is loaded with `llmhard.load("model.safetensors")`.

    ## It writes

    The temperature says how daring it is: 0 always takes the likeliest word.
    """)
    return


@app.cell
def _(model):
    model.sample("the cat", n=3, temperature=0.8, seed=1)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    A sentence is written word by word. Before each word the model has a probability for every
    word that it knows. Here are the likeliest after two words. It is a dict, so any other word
    can be looked up.
    """)
    return


@app.cell
def _(model):
    after = model.next_words("seven ducks")
    after
    return (after,)


@app.cell
def _(after):
    after["swim"], after["swims"]
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Where it looks

    To choose a verb after *pond*, the model has to know that it is the *dog* who does something.
    How much does each head take from each word?
    """)
    return


@app.cell
def _(model):
    attention = model.attention("the dog by the pond")
    attention
    return (attention,)


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    The head that takes most from *dog* there, for all words: each row is a word that was read,
    each column one that it may look at.
    """)
    return


@app.cell
def _(attention):
    max(attention, key=lambda head: head.weights[-1][attention.tokens.index("dog")])
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## What surprises it

    The loss of a sentence is the mean surprise of a word in it, in nats. It learned to make this
    number small.
    """)
    return


@app.cell
def _(model):
    model.loss("seven ducks swim"), model.loss("seven ducks swims"), model.loss("swim ducks seven")
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Every number knows where it came from

    All of this is arithmetic on `Value`s. Each remembers what it was computed from, and
    `backward()` finds out how much the result would change with each of them.
    """)
    return


@app.cell
def _():
    from llmhard import Value

    a, b = Value(2.0, label="a"), Value(-0.6, label="b")
    result = (a * b + a).tanh()
    result.backward()
    result
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    The loss of a sentence is such a number, too, computed from all the weights of the model. This
    is the end of its graph: what is left out is said in the boxes.
    """)
    return


@app.cell
def _(model):
    from llmhard.trainer import sequence_loss

    loss = sequence_loss(model.gpt, model.tokenizer.encode_document("seven ducks swim"))
    loss.backward()
    loss.graph(size=18, inputs=2)
    return


@app.cell(hide_code=True)
def _(mo):
    mo.md(r"""
    ## Look inside

    The explorer has all of it on one page, to touch: change a weight, switch off a head, go from
    the map of the model to one number. `model.explore().save("explorer.html")` makes a file of it
    that opens in any browser.
    """)
    return


@app.cell
def _(model):
    model.explore("seven ducks")
    return


if __name__ == "__main__":
    app.run()
