"""Mistakes in lab 07, the model file: name, old text, new text, what check says."""

ROWS = [
    (
        "a dict written with str",
        "json.dumps(header)",
        "str(header)",
        "json.dumps makes JSON",
    ),
    (
        "the first 8 bytes forgotten",
        "content[8 + length :]",
        "content[length:]",
        "at byte 8 + length",
    ),
    (
        "a big-endian length",
        'return struct.pack("<Q", len(header_bytes))',
        'return struct.pack(">Q", len(header_bytes))',
        "largest byte first",
    ),
    (
        "characters counted for bytes",
        """header_bytes = json.dumps(header).encode("utf-8")
    return struct.pack("<Q", len(header_bytes)) +""",
        """text = json.dumps(header, ensure_ascii=False)
    header_bytes = text.encode("utf-8")
    return struct.pack("<Q", len(text)) +""",
        "Count the header's bytes after encode(), not its characters",
    ),
    (
        "the length counts itself",
        'struct.pack("<Q", len(header_bytes))',
        'struct.pack("<Q", len(header_bytes) + 8)',
        "its own 8 bytes do not count",
    ),
    (
        "offsets from the start of the file",
        '"data_offsets": [start, len(data)],',
        '"data_offsets": [start + 8, len(data) + 8],',
        "count from the end of the header",
    ),
    (
        "offsets that count numbers",
        '"data_offsets": [start, len(data)],',
        '"data_offsets": [start // 8, len(data) // 8],',
        "The offsets count bytes",
    ),
    (
        "a length for the end",
        '"data_offsets": [start, len(data)],',
        '"data_offsets": [start, len(data) - start],',
        "is where the matrix ends, not how long it is",
    ),
    (
        "columns before rows in the shape",
        '"shape": [len(matrix), len(matrix[0])],',
        '"shape": [len(matrix[0]), len(matrix)],',
        "The rows come first, then the columns",
    ),
    (
        "four bytes for a number",
        'struct.pack(f"<{len(row)}d", *row)',
        'struct.pack(f"<{len(row)}f", *row)',
        "Yours takes 4 bytes for a number",
    ),
    (
        "column by column",
        """for row in matrix:
            data +=""",
        """for row in zip(*matrix):
            data +=""",
        "Yours goes column by column",
    ),
    (
        "big-endian numbers",
        'struct.pack(f"<{len(row)}d", *row)',
        'struct.pack(f">{len(row)}d", *row)',
        "Yours are big-endian",
    ),
    (
        "the metadata beside the header's own name",
        'header = {"__metadata__": metadata}',
        'header = {"metadata": metadata}',
        'in the header under the name "__metadata__"',
    ),
    (
        "read in the order of the header",
        """\
        start, end = described["data_offsets"]
        numbers = struct.unpack(f"<{rows * cols}d", data[start:end])
""",
        """\
        numbers = struct.unpack(f"<{rows * cols}d", data[: 8 * rows * cols])
        data = data[8 * rows * cols :]
""",
        "is what its data_offsets say",
    ),
    (
        "rows as long as there are rows",
        "numbers[i * cols : (i + 1) * cols]",
        "numbers[i * rows : (i + 1) * rows]",
        "a row has as many as there are columns",
    ),
    (
        "the numbers thrown away",
        """\
                p.data = number
""",
        """\
                p = number
""",
        "gives the name p to something new",
    ),
    (
        "no training record",
        """\
        "training": training,
""",
        "",
        "KeyError: 'training'",
    ),
    (
        "save appends",
        "    Path(path).write_bytes(pack(matrices, {METADATA_KEY: json.dumps(described)}))",
        """\
    with open(path, 'ab') as file:
        file.write(pack(matrices, {METADATA_KEY: json.dumps(described)}))""",
        "The second model replaces the first",
    ),
    (
        "eval for the header",
        "header = json.loads(content[8 : 8 + length])",
        "header = eval(content[8 : 8 + length])",
        "`eval` runs whatever the file says",
    ),
    (
        "eval for the metadata",
        "described = json.loads(metadata[METADATA_KEY])",
        "described = eval(metadata[METADATA_KEY])",
        "`eval` runs whatever the file says",
    ),
    (
        "a big-endian length read",
        '(length,) = struct.unpack("<Q", content[:8])',
        '(length,) = struct.unpack(">Q", content[:8])',
        "whether the length is little-endian",
    ),
    (
        "big-endian numbers read",
        'struct.unpack(f"<{rows * cols}d", data[start:end])',
        'struct.unpack(f">{rows * cols}d", data[start:end])',
        "reads the bytes in the other order",
    ),
    (
        "latin-1 header",
        'json.dumps(header).encode("utf-8")',
        'json.dumps(header, ensure_ascii=False).encode("latin-1")',
        "the header is not UTF-8",
    ),
    (
        "latin-1 read",
        "header = json.loads(content[8 : 8 + length])",
        'header = json.loads(content[8 : 8 + length].decode("latin-1"))',
        "Yours reads the header as latin-1",
    ),
    (
        "return inside unpack",
        """\
    return matrices, metadata
""",
        """\
        return matrices, metadata
""",
        "this `return` is inside the loop",
    ),
    (
        "no default for the metadata",
        'header.pop("__metadata__", {})',
        'header.pop("__metadata__")',
        "unpack(a file without __metadata__) raised KeyError",
    ),
    (
        "None for no metadata",
        'header.pop("__metadata__", {})',
        'header.pop("__metadata__", None)',
        "unpack(a file without __metadata__): the metadata",
    ),
]
