//! How each transport is told from the others: a colour, and a marker for those who see colours otherwise.

use plotters::style::RGBColor;

/// The form of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// A filled circle.
    Disc,
    /// A filled square.
    Square,
    /// A filled triangle, point up.
    Up,
    /// A filled triangle, point down.
    Down,
    /// A filled triangle, point to the left.
    Left,
    /// A filled square on its corner.
    Diamond,
    /// Two strokes, ×.
    Times,
    /// Two strokes, +.
    Plus,
    /// A circle that is not filled.
    Ring,
}

/// How one transport is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Style {
    /// Of line and marker.
    pub(crate) colour: RGBColor,
    /// The form.
    pub(crate) marker: Marker,
}

/// The style of a row: always the same for one transport, so that two pictures can be compared.
///
/// The colours are the eight of Okabe and Ito, chosen to differ for people with any kind of colour blindness; the
/// yellow one, too pale on white, is replaced by a grey.
pub(crate) fn of(transport: &str) -> Style {
    let (rgb, marker) = match transport.trim_end_matches(':') {
        "plain + lock" => ((0, 0, 0), Marker::Times),
        "shm" => ((0, 114, 178), Marker::Disc),
        "unix" => ((213, 94, 0), Marker::Square),
        "pipe" => ((0, 158, 115), Marker::Up),
        "mq" => ((204, 121, 167), Marker::Diamond),
        "tcp" => ((86, 180, 233), Marker::Down),
        "tls" => ((230, 159, 0), Marker::Plus),
        "ws" => ((153, 92, 0), Marker::Left),
        _ => ((119, 119, 119), Marker::Ring),
    };
    Style { colour: RGBColor(rgb.0, rgb.1, rgb.2), marker }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::way::Way;

    #[test]
    fn no_two_rows_look_alike() {
        let styles: Vec<Style> = Way::all().iter().map(|way| of(&way.label())).collect();
        for (at, style) in styles.iter().enumerate() {
            for other in styles.iter().skip(at + 1) {
                assert!(style.marker != other.marker && style.colour != other.colour);
            }
        }
    }
}
