"""Lab 02: the word tokenizer. From sentences to lists of token ids, and back."""

BOS = 0  # the id of the token before and after every sentence


class Tokenizer:
    """One id for each word, and the id 0 for BOS, "beginning of sequence".

    >>> tokenizer = Tokenizer(["cat", "sat", "the"])
    >>> tokenizer.encode("the cat sat")
    [3, 1, 2]
    >>> tokenizer.decode([3, 1, 2])
    'the cat sat'
    """

    def __init__(self, words):
        """Keep the vocabulary `words`, a list without BOS, as the list `self.words`.

        The id of `words[i]` is i + 1, because 0 is BOS. A dict from each word to its id,
        made here once, spares `encode` the search.
        """
        self.words = list(words)
        self.ids = {word: i + 1 for i, word in enumerate(self.words)}

    @classmethod
    def from_sentences(cls, sentences):
        """Make a Tokenizer of all the words in the sentences, each once, in alphabetical order.

        Return `cls(words)`.

        >>> Tokenizer.from_sentences(["the cat sat", "the dog"]).words
        ['cat', 'dog', 'sat', 'the']
        """
        return cls(sorted({word for sentence in sentences for word in sentence.split()}))

    @property
    def vocab_size(self):
        """Return how many different ids there are: one for each word, and BOS.

        >>> Tokenizer(["cat", "sat", "the"]).vocab_size
        4
        """
        return len(self.words) + 1

    def encode(self, sentence):
        """Return the ids of the sentence's words, a list without BOS.

        Any white space separates words. Raises ValueError, with the word in the message, for a
        word that is not in the vocabulary.
        """
        ids = []
        for word in sentence.split():
            if word not in self.ids:
                raise ValueError(f"the word {word!r} is not in the vocabulary")
            ids.append(self.ids[word])
        return ids

    def encode_document(self, sentence):
        """Return what the model learns from: BOS, the ids of the words, BOS.

        >>> Tokenizer(["cat", "sat", "the"]).encode_document("the cat sat")
        [0, 3, 1, 2, 0]
        """
        return [BOS, *self.encode(sentence), BOS]

    def decode(self, ids):
        """Return the words of these ids with one space between them; BOS is not a word.

        Raises IndexError for an id that no word has, a negative one, too.

        >>> Tokenizer(["cat", "sat", "the"]).decode([0, 3, 1, 2, 0])
        'the cat sat'
        """
        words = []
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise IndexError(f"{token} is not a token id")
            if token != BOS:
                words.append(self.words[token - 1])
        return " ".join(words)
