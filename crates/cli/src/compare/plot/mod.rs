//! `--plot`: latency and throughput over the message size, as a picture.

mod axes;
mod canvas;
mod file;
mod picture;
mod style;
mod words;

use std::path::Path;

use crate::compare::report::Report;
use crate::failure::Failure;
use file::Target;

/// The picture of a report as an SVG document, where anything was measured at several sizes.
pub(crate) fn svg(report: &Report) -> Result<Option<Vec<u8>>, String> {
    let picture = picture::Picture::of(report);
    if picture.is_empty() {
        return Ok(None);
    }
    canvas::svg(&picture).map(Some).map_err(|why| why.to_string())
}

/// A picture that is going to be drawn; that it can be written is known before anything is measured.
pub(crate) struct Plot {
    target: Target,
}

impl Plot {
    /// Checks the ending and the place.
    pub(crate) fn at(path: &Path) -> Result<Plot, Failure> {
        Ok(Plot { target: Target::at(path).map_err(Failure::Usage)? })
    }

    /// Draws what was measured and puts the finished picture in its place.
    pub(crate) fn draw(&self, report: &Report) -> Result<(), Failure> {
        let picture = picture::Picture::of(report);
        if picture.is_empty() {
            return Err(Failure::Failed(format!(
                "{} was not drawn: no transport was measured at any size",
                self.target.name()
            )));
        }
        let bytes = match self.target.format() {
            file::Format::Svg => canvas::svg(&picture),
            file::Format::Png => canvas::png(&picture),
        };
        let bytes = bytes.map_err(|why| Failure::Failed(format!("cannot draw {}: {why}", self.target.name())))?;
        self.target.write(&bytes).map_err(Failure::Failed)
    }
}
