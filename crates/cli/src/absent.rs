//! What to say of a name that nobody serves or owns: what is there by this name, or by one like it, if anything is, and what to type
//! then.

use wharf::{EndpointInfo, Part, Pattern};

use crate::look::{endpoints, nearest};
use crate::shell::command;
use crate::target::Target;

/// Whether somebody has opened this name for this, and lives.
pub(crate) fn is_there(wanted: Pattern, name: &str) -> bool {
    endpoints().unwrap_or_default().iter().any(|it| is_host_of(it, wanted, name))
}

fn is_host_of(it: &EndpointInfo, wanted: Pattern, name: &str) -> bool {
    it.name == name && it.pattern == wanted && it.part == Part::Host
}

/// Why nothing is there to be asked: `doing` and `wanted` say what was looked for, `otherwise` what helps where nothing has this name.
pub(crate) fn absent(doing: &str, wanted: Pattern, name: &str, otherwise: &str) -> String {
    // Where nobody can be looked for, there is less to say.
    let all = endpoints().unwrap_or_default();
    if all.iter().any(|it| is_host_of(it, wanted, name)) {
        return format!(
            "whoever {doing} '{name}' answers nobody, as if stopped: let it go on (fg, or kill -CONT), or end it"
        );
    }
    let Some(there) = all.iter().find(|it| it.name == name && it.pattern != wanted) else {
        let hosts = all.iter().filter(|it| it.pattern == wanted && it.part == Part::Host);
        return match nearest(name, hosts.map(|it| it.name.as_str())) {
            Some(near) => {
                let near = typed(wanted, near);
                format!("nobody {doing} '{name}': did you mean '{near}'? {otherwise}")
            }
            None => format!("nobody {doing} '{name}': {otherwise}"),
        };
    };
    let (what, verb, does) = match there.pattern {
        Pattern::Topic => ("a topic", "sub", "listens to it"),
        Pattern::Event => ("an event", "event wait", "waits for it"),
        Pattern::State => ("a state", "state get", "reads it"),
        Pattern::Service => ("a service", "call", "asks it"),
        Pattern::Queue => ("a queue", "pull", "takes from it"),
        Pattern::Bus => ("a bus", "ls", "shows who is there"),
        _ => ("something else", "ls", "shows who is there"),
    };
    let shown = command(&["wharf", verb], &typed(there.pattern, name), "");
    format!("nobody {doing} '{name}', which is {what}: {shown} {does}")
}

/// The name as it is typed for an end of this pattern: some may be at addresses as well.
fn typed(pattern: Pattern, name: &str) -> String {
    match pattern {
        Pattern::Service | Pattern::Queue => Target::typed(name),
        _ => name.to_owned(),
    }
}
