//! The operating system behind one floor: memory, waiting, sockets, liveness, clock.
