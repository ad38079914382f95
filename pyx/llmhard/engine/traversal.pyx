"""Traversals of the graph: what a root depends on, in an order of computing."""
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint64_t, uintptr_t
from libc.string cimport memset

from llmhard.engine.elementwise cimport GATHER, LEAF, MATVEC, VIEW
from llmhard.engine.node cimport Node, base_of, inputs_of, is_run, need_grad


# ---------------------------------------------------------------- lists and marks

cdef int append(NodeList *nodes, Node *node) except -1:
    cdef Node **grown
    cdef Py_ssize_t room = 2 * nodes.room + 64
    if nodes.count == nodes.room:
        grown = <Node **>PyMem_Realloc(nodes.items, room * sizeof(Node *))
        if grown is NULL:
            raise MemoryError()
        nodes.items, nodes.room = grown, room
    nodes.items[nodes.count] = node
    nodes.count += 1
    return 0


cdef inline Py_ssize_t mixed(uint64_t key, Py_ssize_t room) noexcept nogil:
    """Return where to look for the key first: Fibonacci hashing (Knuth, "The Art of Computer
    Programming", 6.4)."""
    return <Py_ssize_t>((key * <uint64_t>11400714819323198485) >> 32) & (room - 1)


cdef inline Page *page_of(Page *slots, Py_ssize_t room, uint64_t number) noexcept nogil:
    """Return the slot of the page, or the free one where it would be."""
    cdef Py_ssize_t i = mixed(number, room)
    while slots[i].number != 0 and slots[i].number != number:
        i = (i + 1) & (room - 1)
    return &slots[i]


cdef bint is_first(Seen *seen, Node *node) except -1:
    """Return whether the traversal has come to this node for the first time."""
    cdef uint64_t address = <uint64_t><uintptr_t>node
    cdef uint64_t bit = <uint64_t>1 << (address >> 4 & 63)
    if seen.last is NULL or seen.last.number != address >> 10:
        if 2 * seen.count >= seen.room:
            grow_seen(seen)
        seen.last = page_of(seen.slots, seen.room, address >> 10)
        seen.count += seen.last.number == 0
        seen.last.number = address >> 10
    if seen.last.met & bit:
        return False
    seen.last.met |= bit
    return True


cdef bint has(Seen *seen, Node *node) noexcept:
    """Return whether the traversal has come to this node."""
    cdef uint64_t address = <uint64_t><uintptr_t>node
    if seen.room == 0:
        return False
    return page_of(seen.slots, seen.room, address >> 10).met >> (address >> 4 & 63) & 1


cdef bint overlap(Seen *these, Seen *those) noexcept:
    """Return whether two traversals have come to the same node."""
    cdef Py_ssize_t i
    for i in range(these.room):
        if (these.slots[i].number != 0 and those.room != 0 and these.slots[i].met
                & page_of(those.slots, those.room, these.slots[i].number).met):
            return True
    return False


cdef int grow_seen(Seen *seen) except -1:
    cdef Py_ssize_t i, room = 4 * seen.room if seen.room else 64
    cdef Page *slots = <Page *>PyMem_Calloc(room, sizeof(Page))
    if slots is NULL:
        raise MemoryError()
    for i in range(seen.room):
        if seen.slots[i].number != 0:
            page_of(slots, room, seen.slots[i].number)[0] = seen.slots[i]
    PyMem_Free(seen.slots)
    seen.slots, seen.room = slots, room
    return 0


cdef inline Mark *slot(Mark *slots, Py_ssize_t room, Node *node) noexcept nogil:
    """Return the slot of the node, or the free one where it would be."""
    cdef Py_ssize_t i = mixed(<uint64_t><uintptr_t>node, room)
    while slots[i].node is not NULL and slots[i].node is not node:
        i = (i + 1) & (room - 1)
    return &slots[i]


cdef Mark *mark(Marks *marks, Node *node) except NULL:
    """Return the mark of the node, or a new one of zeros; it is valid until the next new one."""
    cdef Mark *made
    if 2 * marks.count >= marks.room:
        grow(marks)
    made = slot(marks.slots, marks.room, node)
    if made.node is NULL:
        made.node = node
        marks.count += 1
    return made


cdef int grow(Marks *marks) except -1:
    cdef Py_ssize_t i, room = 4 * marks.room if marks.room else 32
    cdef Mark *slots = <Mark *>PyMem_Calloc(room, sizeof(Mark))
    if slots is NULL:
        raise MemoryError()
    for i in range(marks.room):
        if marks.slots[i].node is not NULL:
            slot(slots, room, marks.slots[i].node)[0] = marks.slots[i]
    PyMem_Free(marks.slots)
    marks.slots, marks.room = slots, room
    return 0


# ---------------------------------------------------------------- what a root depends on

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *address) noexcept nogil

# A node whose inputs are being looked at.
cdef struct Visit:
    Node *node
    int n_seen              # of its inputs

cdef struct Path:
    Visit *visits           # from the root down: each node is an input of the one before
    Py_ssize_t count, room


cdef inline void fetch(Node *node) noexcept nogil:
    cdef int i
    for i in range(node.n_inputs):
        prefetch(inputs_of(node)[i])


cdef int collect(NodeList *found, Seen *seen, Node *root) except -1:
    """Append all operations that root depends on, each after its inputs, in the order of first use:
    depth-first, so that part of a graph alone gives the same order as the whole."""
    cdef Path path = Path(NULL, 0, 0)
    cdef Visit *last
    try:
        enter(&path, seen, root)
        while path.count:
            last = &path.visits[path.count - 1]
            if last.n_seen < last.node.n_inputs:
                last.n_seen += 1
                enter(&path, seen, inputs_of(last.node)[last.n_seen - 1])
            else:
                append(found, last.node)
                path.count -= 1
    finally:
        PyMem_Free(path.visits)
    return 0


cdef int enter(Path *path, Seen *seen, Node *node) except -1:
    """Go on to an operation, unless it was seen. Leaves and fixed views are not operations."""
    if not is_first(seen, node):
        return 0
    if is_run(node):
        seen.runs = True
        if not seen.without_grads:
            need_grad(node)
    if node.op == VIEW:
        return enter(path, seen, base_of(node))     # which is not a view itself
    if node.op == LEAF:
        return 0
    fetch(node)
    if path.count == path.room:
        lengthen(path)
    path.visits[path.count] = Visit(node, 0)
    path.count += 1
    return 0


cdef int lengthen(Path *path) except -1:
    cdef Py_ssize_t room = 2 * path.room + 64
    cdef Visit *visits = <Visit *>PyMem_Realloc(path.visits, room * sizeof(Visit))
    if visits is NULL:
        raise MemoryError()
    path.visits, path.room = visits, room
    return 0


# ---------------------------------------------------------------- the order of computing

cdef enum:
    N_OPS = GATHER + 1      # the last of them


cdef int sort(NodeList *nodes) except -1:
    """Order what collect() has found by depth; at each depth, the products with one matrix come
    together, at the end."""
    cdef Marks marks = Marks(NULL, 0, 0)
    cdef Node **by_depth = <Node **>PyMem_Malloc((nodes.count + 1) * sizeof(Node *))
    cdef Py_ssize_t first = 0, last
    try:
        if by_depth is NULL:
            raise MemoryError()
        count_depths(nodes, by_depth)
        while first < nodes.count:
            last = first
            while last < nodes.count and by_depth[last].depth == by_depth[first].depth:
                last += 1
            arrange(&marks, by_depth + first, last - first, nodes.items + first)
            first = last
    finally:
        PyMem_Free(by_depth)
        PyMem_Free(marks.slots)
    return 0


cdef int count_depths(NodeList *nodes, Node **by_depth) except -1:
    """Write the nodes to `by_depth`, ordered by depth: a counting sort. The root comes last."""
    cdef Node *node
    cdef Py_ssize_t i, deepest = nodes.items[nodes.count - 1].depth if nodes.count else 0
    cdef Py_ssize_t *ends
    ends = <Py_ssize_t *>PyMem_Calloc(deepest + 2, sizeof(Py_ssize_t))
    if ends is NULL:
        raise MemoryError()
    for i in range(nodes.count):
        ends[nodes.items[i].depth + 1] += 1
    for i in range(deepest + 1):
        ends[i + 1] += ends[i]
    for i in range(nodes.count):
        node = nodes.items[i]
        by_depth[ends[node.depth]] = node
        ends[node.depth] += 1
    PyMem_Free(ends)
    return 0


cdef int arrange(Marks *marks, Node **nodes, Py_ssize_t count, Node **arranged) except -1:
    """Write nodes of one depth to `arranged`: equal operations together, then the products.

    Which operation comes first does not matter, but it must always be the same for the same bits.
    """
    cdef Py_ssize_t places[N_OPS]
    cdef Py_ssize_t i, n, place = 0
    if count == 1:
        arranged[0] = nodes[0]
        return 0
    memset(places, 0, sizeof(places))
    for i in range(count):
        if nodes[i].op != MATVEC:
            places[nodes[i].op] += 1
    for i in range(N_OPS):
        n, places[i] = places[i], place
        place += n
    for i in range(count):
        if nodes[i].op != MATVEC:
            arranged[places[nodes[i].op]] = nodes[i]
            places[nodes[i].op] += 1
    if place < count:
        group(marks, nodes, count, arranged + place)
    return 0


cdef Py_ssize_t group(Marks *marks, Node **nodes, Py_ssize_t count, Node **grouped) except -1:
    """Write the products (MATVEC) among the nodes to `grouped`, those with one matrix together.

    Return how many there are. The tallies in `marks` are zero before and after.
    """
    cdef Py_ssize_t i, place = 0
    cdef Mark *matrix
    for i in range(count):
        if nodes[i].op == MATVEC:
            mark(marks, inputs_of(nodes[i])[0]).tally += 1
    for i in range(count):
        if nodes[i].op == MATVEC:
            matrix = mark(marks, inputs_of(nodes[i])[0])
            if matrix.tally:
                matrix.place = place
                place += matrix.tally
                matrix.tally = 0
            grouped[matrix.place] = nodes[i]
            matrix.place += 1
    return place
