"""Mistakes in lab 02, the tokenizer: name, old text, new text, what check says."""

ROWS = [
    (
        "the words twice in the vocabulary",
        "{word for sentence in sentences for word in sentence.split()}",
        "[word for sentence in sentences for word in sentence.split()]",
        "each is in the vocabulary once",
    ),
    (
        "the words in any order",
        "sorted({word for sentence in sentences for word in sentence.split()})",
        "dict.fromkeys(word for sentence in sentences for word in sentence.split())",
        "The order is alphabetical",
    ),
    (
        "letters for words",
        "for word in sentence.split()}",
        "for word in sentence}",
        "sentence.split() gives a sentence's words",
    ),
    (
        "BOS not counted",
        "return len(self.words) + 1",
        "return len(self.words)",
        "BOS is a token, too",
    ),
    (
        "ids from 0",
        "{word: i + 1 for",
        "{word: i for",
        "0 is the id of BOS, so the first word has the id 1",
    ),
    (
        "split at single spaces",
        "for word in sentence.split():",
        'for word in sentence.split(" "):',
        "the word '' is not in the vocabulary",
    ),
    (
        "unknown words left out",
        'raise ValueError(f"the word {word!r} is not in the vocabulary")',
        "continue",
        "should raise ValueError",
    ),
    (
        "the dict's own error for an unknown word",
        "if word not in self.ids:",
        "if False:",
        "should raise ValueError. Yours raised KeyError: 'cow'",
    ),
    (
        "an error that does not say which word",
        'f"the word {word!r} is not in the vocabulary"',
        '"a word is not in the vocabulary"',
        "does not say which word",
    ),
    (
        "no BOS at the end",
        "return [BOS, *self.encode(sentence), BOS]",
        "return [BOS, *self.encode(sentence)]",
        "where they end from the last",
    ),
    (
        "decode one word too far",
        "self.words[token - 1]",
        "self.words[token % len(self.words)]",
        "words[i - 1]",
    ),
    (
        "decode keeps BOS",
        "if token != BOS:",
        "if True:",
        "BOS is not a word",
    ),
    (
        "decode takes negative ids",
        "if not 0 <= token < self.vocab_size:",
        "if token >= self.vocab_size:",
        "Python counts negative positions from the end",
    ),
    (
        "decode gives a list",
        'return " ".join(words)',
        "return words",
        "one text, not a list",
    ),
    (
        "return inside encode loop",
        """\
        return ids
""",
        """\
            return ids
""",
        "this `return` is inside the loop",
    ),
    (
        "return inside decode loop",
        """\
        return " ".join(words)
""",
        """\
            return " ".join(words)
""",
        "this `return` is inside the loop",
    ),
    (
        "__init__ has the dict the wrong way round, from id to word",
        "{word: i + 1 for i, word in enumerate(self.words)}",
        "{i + 1: word for i, word in enumerate(self.words)}",
        "has to lead from the word to the id",
    ),
    (
        "__init__ sorts the words it is given once more",
        "self.words = list(words)",
        "self.words = sorted(words)",
        "Yours sorts the words",
    ),
    (
        "from_sentences makes every word lower case, as other tokenizers do",
        "sorted({word for sentence in sentences for word in sentence.split()})",
        "sorted({word.lower() for sentence in sentences for word in sentence.split()})",
        "Yours makes the words lower case",
    ),
    (
        "vocab_size is the largest id, not how many ids there are",
        "return len(self.words) + 1",
        "return max(self.ids.values())",
        "it has an id that no word has",
    ),
    (
        "encode_document returns what list.insert returns",
        "        return [BOS, *self.encode(sentence), BOS]",
        """\
        ids = self.encode(sentence)
        ids.append(BOS)
        return ids.insert(0, BOS)""",
        "`.insert` changes the list and gives None",
    ),
    (
        "decode stops at the first BOS",
        """\
            if token != BOS:
                words.append(self.words[token - 1])""",
        """\
            if token == BOS:
                break
            words.append(self.words[token - 1])""",
        "Yours ends at the first BOS",
    ),
]
