//! Inter-process communication for Linux: share it in place, or ship it as a message.
