"""Threads: who waits for whom while a Tape computes without the GIL.

All state here is read and written with the GIL held. Waiting is to let go of the GIL for a moment
and to look again: there is no lock that a fork or an exception could leave behind, and nobody
holds anything while it waits, so nobody waits for ever.
"""
from cpython.pythread cimport PyThread_get_thread_ident
from posix.unistd cimport usleep

from llmhard.engine.elementwise cimport LEAF, SELECT
from llmhard.engine.node cimport inputs_of, storage
from llmhard.engine.traversal cimport has, overlap

import os

cdef list passes = []           # those at work; n_at_work of them
cdef unsigned long forking = 0  # the thread that is about to fork, and whom passes wait for

cdef enum:
    MOMENT = 50                 # microseconds between two looks


cdef class Pass:
    """What the forward() or backward() of a Tape reads and writes while other threads run."""

    cdef int wait_for_others(self, bint backward) except -1:
        """Wait until this pass can go on beside those at work: until no number is written by one
        and reached by the other. Raises RuntimeError if this very one is at work."""
        cdef Pass other
        if self.awaited and not self.at_work:
            pause(4 * MOMENT)   # whoever waits for this Tape has a go first
        while forking and forking != PyThread_get_thread_ident():
            pause(MOMENT)
        while n_at_work:
            other = self.hindrance(backward)
            if other is None:
                break
            wait_for(other)
        if self.at_work:
            kind = type(self).__name__
            raise RuntimeError(f"this {kind} is at work in another thread: give each thread a "
                               f"{kind} of its own, or a lock")
        return 0

    cdef int begin(self, bint backward) except -1:
        """Enter the list, with the GIL held since wait_for_others and right before it is let go."""
        passes.append(self)
        self.backward = backward
        set_at_work(self, True)
        return 0

    cdef void end(self) noexcept:
        passes.remove(self)
        set_at_work(self, False)

    cdef Pass hindrance(self, bint backward):
        """A pass at work beside which this one cannot go on; None if there is none."""
        cdef Pass other
        for other in passes:
            if (other is not self and overlap(&self.touched, &other.touched)
                    and (backward and other.backward or self.moves or other.moves
                         or self.computes_for(other) or other.computes_for(self))):
                return other
        return None

    cdef bint computes_for(self, Pass other) noexcept:
        """Whether the other one comes to something that this one computes."""
        cdef Py_ssize_t i
        for i in range(self.nodes.count):
            if has(&other.touched, self.nodes.items[i]):
                return True
        return False

    cdef bint hinders(self, Node *node, Access what) noexcept:
        """Whether this pass writes what is to be read, or comes to what is to be written."""
        while node.op == SELECT:        # where it stands is computed, too
            if has(&self.touched, node):
                return True
            node = inputs_of(node)[0]
        node = storage(node)
        if not has(&self.touched, node):
            return False
        return (node.op != LEAF or what == WRITE or self.moves
                or what == GRAD and self.backward)


cdef void set_at_work(Pass entered, bint at_work) noexcept:
    global n_at_work
    entered.at_work = at_work
    n_at_work = len(passes)


cdef void pause(int microseconds) noexcept:
    with nogil:
        usleep(microseconds)


cdef void wait_for(Pass other) noexcept:
    other.awaited += 1
    pause(MOMENT)
    other.awaited -= 1


cdef bint wait_once(Node *node, Access what) noexcept:
    """Wait for a moment if a pass at work hinders this access; returns whether one did."""
    cdef Pass other
    for other in passes:
        if other.hinders(node, what):
            wait_for(other)
            return True
    return False


cdef void wait_for_nodes(Node **nodes, Py_ssize_t count, Access what) noexcept:
    """Wait until no pass at work hinders access to any of the nodes."""
    cdef Py_ssize_t i = 0
    while n_at_work and i < count:
        i = 0 if wait_once(nodes[i], what) else i + 1


# ---------------------------------------------------------------- fork

def before_fork():
    """Let no pass be at work while the process is copied: half of its numbers would be old."""
    global forking
    while forking:
        pause(MOMENT)
    forking = PyThread_get_thread_ident()
    while n_at_work:
        pause(MOMENT)


def after_fork():
    global forking
    forking = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=after_fork)
