"""Threads: who waits for whom while a Tape computes without the GIL.

All state here is read and written with the GIL held. Waiting means releasing the GIL for a moment
and looking again: there is no lock that a fork or an exception could leave behind, and a waiting
thread holds nothing, so no thread waits forever.
"""
from cpython.pythread cimport PyThread_get_thread_ident
from posix.unistd cimport usleep

from llmhard.engine.elementwise cimport LEAF, SELECT
from llmhard.engine.node cimport inputs_of, storage
from llmhard.engine.traversal cimport has, overlap

import os

cdef list passes = []           # those at work; n_at_work of them
cdef unsigned long forking = 0  # the thread that is about to fork, for which passes wait

cdef enum:
    MOMENT = 50                 # microseconds between two checks


cdef class Pass:
    """What the forward() or backward() of a Tape reads and writes while other threads run."""

    cdef int wait_for_others(self, bint backward) except -1:
        """Wait until this pass can run beside those at work: until no number is written by one and
        used by the other. Raises RuntimeError if this pass itself is at work."""
        cdef Pass other
        if self.awaited and not self.at_work:
            pause(4 * MOMENT)   # whoever is waiting for this Tape goes first
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
        """Enter the list, with the GIL held since wait_for_others and just before releasing it."""
        passes.append(self)
        self.backward = backward
        set_at_work(self, True)
        return 0

    cdef void end(self) noexcept:
        passes.remove(self)
        set_at_work(self, False)

    cdef Pass hindrance(self, bint backward):
        """Return a pass at work beside which this one cannot run; None if there is none."""
        cdef Pass other
        for other in passes:
            if (other is not self and overlap(&self.touched, &other.touched)
                    and (backward and other.backward or self.moves or other.moves
                         or self.computes_for(other) or other.computes_for(self))):
                return other
        return None

    cdef bint computes_for(self, Pass other) noexcept:
        """Return whether the other pass uses something that this one computes."""
        cdef Py_ssize_t i
        for i in range(self.nodes.count):
            if has(&other.touched, self.nodes.items[i]):
                return True
        return False

    cdef bint hinders(self, Node *node, Access what) noexcept:
        """Return whether this pass writes what will be read, or uses what will be written."""
        while node.op == SELECT:        # where it points is computed, too
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
    """Wait for a moment if a pass at work hinders this access; return whether one did."""
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
    """Keep passes from working while the process is copied: half of their numbers would be old."""
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
