//! Services from the shell: `wharf call` and `wharf serve`.

mod call;
mod commands;
mod lines;
mod place;
mod serve;

pub(crate) use self::call::run as run_call;
pub(crate) use self::serve::run as run_serve;
