"""What a traversal of the graph keeps besides the nodes, as the modules above see it."""
from libc.stdint cimport uint64_t

from llmhard.engine.node cimport Node


cdef struct NodeList:
    Node **items        # the nodes, in the list's own memory; not counted as references
    Py_ssize_t count    # how many there are
    Py_ssize_t room     # how many fit into the memory; never below count

# Which nodes a traversal has come to: one bit for each 16 bytes of memory. A node is larger, so no
# two nodes have the same bit; neighbours in memory share a Page.
cdef struct Page:
    uint64_t number     # the address of its 1024 bytes, over 1024; 0: the slot is free
    uint64_t met        # bit i: the node that begins in its i-th 16 bytes was met

cdef struct Seen:
    Page *slots         # a hash table by number, with linear probing
    Py_ssize_t count    # the slots in use, at most half of them
    Py_ssize_t room     # how many slots there are: a power of two, or 0 before the first node
    Page *last          # the last one used: the next node is often near; NULL before the first
    bint runs           # collect() has come to a Run
    bint without_grads  # collect() need not make room for gradients

# Numbers for some nodes, the matrices of products.
cdef struct Mark:
    Node *node          # whose mark it is; NULL: the slot is free
    Py_ssize_t tally    # how many of its products are still to be placed
    Py_ssize_t place    # where the next one goes

cdef struct Marks:
    Mark *slots         # a hash table by the node's address, with linear probing
    Py_ssize_t count    # the slots in use, at most half of them
    Py_ssize_t room     # how many slots there are: a power of two, or 0 before the first mark


cdef int append(NodeList *nodes, Node *node) except -1
cdef Mark *mark(Marks *marks, Node *node) except NULL
cdef bint is_first(Seen *seen, Node *node) except -1
cdef bint has(Seen *seen, Node *node) noexcept
cdef bint overlap(Seen *these, Seen *those) noexcept
cdef int collect(NodeList *found, Seen *seen, Node *root) except -1
cdef int sort(NodeList *nodes) except -1
cdef Py_ssize_t group(Marks *marks, Node **nodes, Py_ssize_t count, Node **grouped) except -1
