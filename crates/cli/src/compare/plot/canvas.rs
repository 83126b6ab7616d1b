//! What a picture is drawn on: lines and text for SVG, dots for PNG, and the font for both.

use std::fmt;
use std::sync::OnceLock;

use plotters::prelude::*;
use plotters::style::register_font;

use crate::compare::plot::picture::{Picture, WIDTH};

/// The font's name: a viewer of an SVG takes its own of this kind, a PNG has DejaVu Sans in it.
pub(crate) const FONT: &str = "sans-serif";
/// Dots of a finished PNG for each unit of the picture.
const DOTS: u32 = 2;
/// Dots that are drawn for each dot across and down, and averaged: slanted lines look smooth.
const SMOOTH: u32 = 2;

/// Why a picture could not be drawn.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl Failed {
    /// Any error of the drawing library.
    pub(crate) fn of(error: impl fmt::Display) -> Failed {
        Failed(error.to_string())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The picture as an SVG document.
pub(crate) fn svg(picture: &Picture) -> Result<Vec<u8>, Failed> {
    take_font()?;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, picture.height())).into_drawing_area();
        picture.draw(&root, 1)?;
        root.present().map_err(Failed::of)?;
    }
    Ok(text.into_bytes())
}

/// The picture as a PNG file.
pub(crate) fn png(picture: &Picture) -> Result<Vec<u8>, Failed> {
    take_font()?;
    let scale = DOTS * SMOOTH;
    let (width, height) = (WIDTH * scale, picture.height() * scale);
    let mut drawn = vec![0; 3 * width as usize * height as usize];
    {
        let root = BitMapBackend::with_buffer(&mut drawn, (width, height)).into_drawing_area();
        picture.draw(&root, scale)?;
        root.present().map_err(Failed::of)?;
    }
    encode(&average(&drawn, width as usize), WIDTH * DOTS, picture.height() * DOTS)
}

/// Each square of [`SMOOTH`] by [`SMOOTH`] dots as one dot of its mean colour.
fn average(drawn: &[u8], width: usize) -> Vec<u8> {
    let side = SMOOTH as usize;
    let mut dots = Vec::with_capacity(drawn.len() / (side * side));
    for rows in drawn.chunks_exact(3 * width * side) {
        for left in (0..width).step_by(side) {
            for colour in 0..3 {
                let of_square = (0..side * side).map(|at| {
                    let (down, across) = (at / side, at % side);
                    rows.get(3 * (down * width + left + across) + colour).copied().map_or(0, u32::from)
                });
                let mean = of_square.sum::<u32>() / (SMOOTH * SMOOTH);
                dots.push(u8::try_from(mean).unwrap_or(u8::MAX));
            }
        }
    }
    dots
}

fn encode(dots: &[u8], width: u32, height: u32) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(Failed::of)?;
    writer.write_image_data(dots).map_err(Failed::of)?;
    writer.finish().map_err(Failed::of)?;
    Ok(bytes)
}

/// Hands the embedded font to the drawing library, once.
fn take_font() -> Result<(), Failed> {
    static TAKEN: OnceLock<bool> = OnceLock::new();
    let taken = *TAKEN.get_or_init(|| {
        // Bold text in a PNG is drawn with the same font, which halves what the command carries along.
        register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok()
    });
    if taken { Ok(()) } else { Err(Failed("the embedded font is damaged".into())) }
}
