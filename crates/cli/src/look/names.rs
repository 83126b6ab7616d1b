//! Which ends are meant, and what is said when there is none.

use wharf::EndpointInfo;

use super::directory;
use crate::failure::Failure;
use crate::usage::complain;

/// How alike two names must be for one to be taken for the other, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The name that a user gave, perhaps with stars; without one, everybody is meant.
#[derive(Clone, Debug)]
pub(crate) struct Names(Option<String>);

impl Names {
    /// Checks it as far as stars go.
    pub(crate) fn new(name: Option<&str>) -> Result<Names, Failure> {
        let parts = name.unwrap_or_default().split('/');
        let count = parts.clone().count();
        let sound = |(at, part): (usize, &str)| match part {
            "*" => true,
            "**" => at + 1 == count,
            part => !part.contains('*'),
        };
        if !parts.enumerate().all(sound) {
            return Err(Failure::Usage(format!(
                "'{}' cannot be a name: * stands for one whole part, and ** at the end for one or more",
                name.unwrap_or_default()
            )));
        }
        Ok(Names(name.map(str::to_owned)))
    }

    /// Whether an end of this name is meant: one whose name fits, or one that subscribes to such names.
    pub(crate) fn mean(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|asked| fits(asked, name) || fits(name, asked))
    }
}

/// Whether a name, perhaps with stars, means another.
pub(crate) fn fits(filter: &str, name: &str) -> bool {
    let mut theirs = name.split('/');
    for part in filter.split('/') {
        match (part, theirs.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(their)) if part == their => {}
            _ => return false,
        }
    }
    theirs.next().is_none()
}

/// The name that is most like another, where one is like it and not the same.
pub(crate) fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike = names.filter(|name| *name != asked).map(|name| (strsim::jaro_winkler(asked, name), name));
    alike.filter(|(how, _)| *how >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// Nobody that was meant is there. Whoever asked for a name learns of the nearest one that is.
pub(crate) fn nobody(names: &Names, all: &[EndpointInfo]) -> Result<(), Failure> {
    let directory = directory();
    let Some(asked) = &names.0 else {
        // On standard error: a script that reads the list finds it empty.
        complain(&format!("nobody is in {}", directory.display()));
        return Ok(());
    };
    let told = match nearest(asked, all.iter().map(|it| it.name.as_str())) {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("'wharf ls' lists who is in {}", directory.display()),
    };
    Err(Failure::Failed(format!("nobody has opened '{asked}': {told}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_mean_parts_both_ways() {
        let mean = |asked: &str, name: &str| Names::new(Some(asked)).expect("a name").mean(name);
        assert!(mean("a/b", "a/b") && mean("a/*", "a/b") && mean("a/**", "a/b/c") && mean("a/b", "a/*"));
        assert!(!mean("a/*", "a/b/c") && !mean("a/b", "a") && !mean("a", "a/b") && !mean("a/**", "a"));
        assert!(Names::new(None).expect("no name").mean("anything"));
        for wrong in ["a*", "**/a", "a/b*/c"] {
            assert!(Names::new(Some(wrong)).is_err(), "{wrong} was taken");
        }
    }
}
