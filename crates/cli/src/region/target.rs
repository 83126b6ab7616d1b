//! Which region a verb looks at, and what is said when it cannot.

use wharf::RegionError;
use wharf::region::{self, RegionInfo, Verified};
use wharf_sys::directory::Domain;

use crate::failure::Failure;
use crate::look::nearest;
use crate::shell::command;
use crate::usage::TargetArguments;

impl TargetArguments {
    /// Looks at it from outside.
    pub(crate) fn inspect(&self) -> Result<RegionInfo, Failure> {
        match (&self.name, &self.file) {
            (_, Some(path)) => region::inspect_file(path),
            (name, None) => region::inspect(name.as_deref().unwrap_or_default()),
        }
        .map_err(|error| self.in_our_words(error))
    }

    /// Looks whether it is sound.
    pub(crate) fn verify(&self) -> Result<Verified, Failure> {
        match (&self.name, &self.file) {
            (_, Some(path)) => region::verify_file(path),
            (name, None) => region::verify(name.as_deref().unwrap_or_default()),
        }
        .map_err(|error| self.in_our_words(error))
    }

    /// How it is called in a sentence: `'NAME'`, or the path.
    pub(crate) fn called(&self) -> String {
        match (&self.name, &self.file) {
            (_, Some(path)) => format!("'{}'", path.display()),
            (name, None) => format!("'{}'", name.as_deref().unwrap_or_default()),
        }
    }

    fn in_our_words(&self, error: RegionError) -> Failure {
        match (&self.file, error) {
            (Some(path), RegionError::NotFound { .. }) => {
                Failure::Failed(format!("there is no file '{}': check the path", path.display()))
            }
            (Some(_), error) => Failure::Failed(error.to_string()),
            (None, error) => in_our_words(self.name.as_deref().unwrap_or_default(), error),
        }
    }
}

/// The library speaks to programmers; the command names its own verbs.
pub(crate) fn in_our_words(name: &str, error: RegionError) -> Failure {
    match error {
        RegionError::NotFound { .. } => {
            let regions = region::list().unwrap_or_default();
            let told = match nearest(name, regions.iter().map(|it| it.name.as_str())) {
                Some(near) => format!("did you mean '{near}'?"),
                None => "'wharf region ls' lists those that exist".to_owned(),
            };
            Failure::Failed(format!("there is no region '{name}': {told}"))
        }
        RegionError::Taken { .. } => Failure::Failed(format!(
            "region '{name}' exists already: choose another name, or remove it with {}",
            command(&["wharf", "region", "rm"], name, "")
        )),
        RegionError::ReadOnlyFileSystem { .. } => Failure::Failed(format!(
            "region '{name}': {} is on a read-only file system: remount it writable, or set WHARF_DIR to another directory",
            Domain::usual_path().display()
        )),
        RegionError::NoRoom { asked, free, .. } => Failure::Failed(format!(
            "there is no room for region '{name}' in {}: it needs {asked} bytes, {free} are free; remove what is not needed there, make \
             it smaller, or set WHARF_DIR to another directory",
            Domain::usual_path().display()
        )),
        // What the directory of names says of a refusal ends with what to do.
        RegionError::Denied { source, .. } if source.get_ref().is_some() => {
            Failure::Failed(format!("region '{name}': {source}"))
        }
        error @ (RegionError::BadName { .. } | RegionError::BadOptions { .. }) => Failure::Usage(error.to_string()),
        error => Failure::Failed(error.to_string()),
    }
}
