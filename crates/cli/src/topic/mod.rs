//! Topics from the shell: `wharf pub` and `wharf sub`.

mod publish;
mod subscribe;

pub(crate) use self::publish::run as run_pub;
pub(crate) use self::subscribe::run as run_sub;
