//! What the report says about the machine: as far as it decides the figures.

use std::fs;

use wharf_measure::Pair;
use wharf_sys::cpu;

use crate::compare::report::{Machine, RemoteMachine};

/// Looks at the machine.
pub(crate) fn look(pair: Option<Pair>) -> Machine {
    Machine {
        host: host(),
        cpus: cpu::count(),
        pinned_to: pair.map(|pair| [pair.first, pair.second]),
        cpu: cpu(),
        kernel: kernel(),
    }
}

/// What a server tells of its machine.
pub(crate) fn remote() -> RemoteMachine {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    RemoteMachine { host: host(), cpus: cpu::count(), cpu: cpu(), kernel: kernel(), version }
}

/// The machine's name.
pub(crate) fn host() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned())
}

fn cpu() -> Option<String> {
    fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_name(&text))
}

fn kernel() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|release| release.trim().to_owned())
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    let (_, name) = line.split_once(':')?;
    Some(name.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_name_is_found_and_its_spaces_are_few() {
        let text = "processor\t: 0\nmodel name\t: Some   CPU @ 2 GHz\nflags\t: x\n";
        assert_eq!(cpu_name(text).as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(cpu_name("processor : 0\n"), None);
    }
}
