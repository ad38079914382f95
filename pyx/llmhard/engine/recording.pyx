"""Recording: whether a new node keeps what it was computed from."""
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint64_t

from llmhard.engine.elementwise cimport LEAF
from llmhard.engine.kernels cimport lanes
from llmhard.engine.node cimport Node, clock, inputs_of, is_run, release, run_of
from llmhard.engine.operation cimport forward
from llmhard.engine.threads cimport READ, n_at_work, wait_for_nodes

cdef extern from *:
    """
    static _Thread_local int not_recording = 0;
    static _Thread_local uint64_t thread = 0;
    """
    int not_recording           # how many `with no_grad()` blocks this thread is in
    uint64_t thread             # this thread's number; 0 before it has one

cdef uint64_t n_threads = 0     # how many have a number; no two ever have the same one


# A thread that is in a block, and how many times.
cdef struct Entry:
    uint64_t thread
    int times               # at least 1, except while it is being made
    Entry *next


cdef class no_grad:
    """`with no_grad():` computes without recording, so that nothing is kept for backward().

    Results are leaves: they have data but neither children nor, later, a gradient to pass on.
    This applies to the thread that enters the block and to no other. A block may be entered again,
    inside itself or later; leaving it more often than this thread has entered it does nothing.
    """
    cdef Entry *entries         # of the threads in this block, one each

    def __enter__(self):
        global not_recording, n_blocks
        cdef Entry *mine = self.find()[0]
        if mine is NULL:
            mine = self.add_entry()
        mine.times += 1
        not_recording += 1
        n_blocks += 1
        return self

    def __exit__(self, kind=None, error=None, traceback=None):
        """Leave the block. This needs no memory: named arguments come without a tuple."""
        global not_recording, n_blocks
        cdef Entry **place = self.find()
        cdef Entry *mine = place[0]
        if mine is NULL:
            return
        mine.times -= 1
        not_recording -= 1
        n_blocks -= 1
        if mine.times == 0:
            place[0] = mine.next
            PyMem_Free(mine)

    cdef Entry **find(self) noexcept:
        """Return where the address of this thread's entry is; it is NULL if there is none."""
        cdef Entry **place = &self.entries
        while place[0] is not NULL and place[0].thread != thread:
            place = &place[0].next
        return place

    cdef Entry *add_entry(self) except NULL:
        global thread, n_threads
        cdef Entry *made = <Entry *>PyMem_Calloc(1, sizeof(Entry))
        if made is NULL:
            raise MemoryError()
        if thread == 0:
            n_threads += 1
            thread = n_threads
        made.thread, made.next = thread, self.entries
        self.entries = made
        return made

    def __dealloc__(self):
        cdef Entry *entry
        while self.entries is not NULL:
            entry, self.entries = self.entries, self.entries.next
            PyMem_Free(entry)


cdef Node *finish(Node *node, lanes *scratch=NULL) noexcept:
    """Compute a node whose inputs are linked, and keep the links if operations are recorded."""
    if n_at_work:
        wait_for_nodes(inputs_of(node), node.n_inputs, READ)
    if is_run(node):
        run_of(node).computed = clock.changes
    else:
        node.changed = clock.changes
    forward(node, scratch)
    if n_blocks:
        forget(node)
    return node


cdef void forget(Node *node) noexcept:
    """Make a new node a leaf if this thread does not record."""
    cdef int i
    if not_recording:
        for i in range(node.n_inputs):
            release(inputs_of(node)[i])
        node.op, node.n_inputs, node.depth = LEAF, 0, 0


cdef lanes *columns = NULL      # room for matvecs, while the GIL is held
cdef Py_ssize_t n_columns = 0   # of a matrix


cdef lanes *scratch_for(Py_ssize_t n) except NULL:
    global columns, n_columns
    cdef lanes *grown
    if n > n_columns:
        grown = <lanes *>PyMem_Realloc(columns, 2 * n * sizeof(lanes))
        if grown is NULL:
            raise MemoryError()
        columns, n_columns = grown, n
    return columns
