//! Where a region is found: by a name in a directory, by a path, or by a descriptor alone.

use std::fmt;
use std::path::{Path, PathBuf};

use wharf_sys::directory::{Domain, Name};

use crate::RegionError;

/// What the file of a named region ends with.
pub(crate) const SUFFIX: &str = "region";

/// Where a region is found.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// By a name in the directory of a domain.
    Named(Domain, Name),
    /// By the path of a file.
    File(PathBuf),
    /// By a descriptor that somebody passed on.
    Anonymous,
}

impl Place {
    /// The region `name` of `domain`, or of the user's own one, which is made when it is not there.
    pub(crate) fn named(domain: Option<&Domain>, name: &str) -> Result<Place, RegionError> {
        let name = checked(name)?;
        let domain = match domain {
            Some(domain) => domain.clone(),
            None => Domain::open()?,
        };
        Ok(Place::Named(domain, name))
    }

    /// The same for whoever makes none: where there is no directory there is no region.
    pub(crate) fn existing(domain: Option<&Domain>, name: &str) -> Result<Place, RegionError> {
        let name = checked(name)?;
        match domain.cloned().map_or_else(Domain::existing, |domain| Ok(Some(domain)))? {
            Some(domain) => Ok(Place::Named(domain, name)),
            None => Err(RegionError::NotFound { region: format!("{:?}", name.as_str()) }),
        }
    }

    /// The region in the file at `path`.
    pub(crate) fn file(path: &Path) -> Place {
        Place::File(path.to_owned())
    }
}

fn checked(name: &str) -> Result<Name, RegionError> {
    Name::new(name).map_err(|rule| RegionError::BadName { name: name.to_owned(), rule })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Named(_, name) => write!(f, "{:?}", name.as_str()),
            Place::File(path) => write!(f, "{path:?}"),
            Place::Anonymous => f.write_str("behind the given descriptor"),
        }
    }
}
