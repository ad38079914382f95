"""Plans, as the modules above see them."""
from llmhard.engine.node cimport Node
from llmhard.engine.operation cimport Shape
from llmhard.engine.traversal cimport NodeList, Seen


# Where the data of a Place is counted from.
cdef enum Base:
    ARENA                   # the row's own memory
    CONSTANTS               # plain numbers
    LEAVES                  # the first leaf; then come the others

# Where the numbers of an operand are, the same for every row of a Batch. A row has an arena of
# its own for all that is computed, and for the gradients; data may be in a leaf instead.
cdef struct Place:
    int base                # where data is counted from: a Base, or beyond LEAVES another leaf
    int data                # where data begins, in scalars
    int grad                # where grad begins in the arena, in scalars
    int select              # the Select that moves data; 0: none does
    int grad_select         # the same for grad

# One operation: what it computes, from what.
cdef struct Item:
    Place out
    Place a                 # the first operand
    Place b                 # the second; the first again if there is only one
    Shape shape

# Neighbouring items of one operation. None of them depends on another.
cdef struct Instruction:
    int op
    bint plain              # `b` is a plain number and gets no gradient
    bint joined             # of products: the rows of the matrix are runs that lie side by side
    bint shared             # the matrices begin at the same place, each no larger than the next
    int group               # of products with a leaf matrix: the number of its Group; else -1
    Py_ssize_t first        # the place of the first item
    Py_ssize_t count        # how many there are
    int *counts             # for each root: how many of them it depends on, from the first
    bint united             # elementwise, and all that they read and write is side by side, so
    int *sizes              # that they are one operation; for each root: on how many scalars

# What an Index names in one row: its value times `unit` scalars further on.
cdef struct Select:
    Py_ssize_t index        # the number of the Index
    Py_ssize_t limit        # the value is below it
    Py_ssize_t unit
    int rank                # of what is selected from, for the error message
    int inside              # the Select that moves what is selected from; 0: none does
    int need

# Gradients that a row keeps to itself until they are added to those of a leaf.
cdef struct Share:
    Place place             # data: where in the leaf
    Py_ssize_t rows, cols, stride
    int need

# A part of the arena where gradients must be zero before they are added up.
cdef struct Span:
    Py_ssize_t first
    int *lengths            # for each root

# The products with one leaf matrix.
cdef struct Group:
    int base                # the leaf
    Py_ssize_t rows, cols
    bint stays_out          # nothing else adds to the matrix's gradient, and no vector is a leaf


cdef class Plan:
    cdef Item *items
    cdef Instruction *instructions
    cdef Select *selects        # from 1 on
    cdef Share *shares
    cdef Span *spans
    cdef Group *groups
    cdef int *counts            # of all instructions
    cdef int *sizes
    cdef int *lengths           # of all spans
    cdef Place *roots           # base -1: there is no such root
    cdef Py_ssize_t n_instructions, n_selects, n_shares, n_spans, n_groups, n_roots, n_items
    cdef Py_ssize_t n_arena     # scalars
    cdef double *constants      # the plain numbers
    cdef NodeList leaves        # each counted as a reference
    cdef Seen touched           # the leaves
    cdef list indexes
    cdef Py_ssize_t widest      # the most columns of a product
    cdef Py_ssize_t tallest     # the most rows of one whose matrix is not a leaf


cdef inline Node *leaf_of(Plan plan, int base) noexcept nogil:
    return plan.leaves.items[base - LEAVES]
