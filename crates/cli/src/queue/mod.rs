//! Queues from the shell: `wharf push` and `wharf pull`.

mod pull;
mod push;
mod standstill;

pub(crate) use self::pull::run as run_pull;
pub(crate) use self::push::run as run_push;
