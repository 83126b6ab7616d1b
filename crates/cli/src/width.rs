//! How wide text is when it is drawn, and text of a width.

use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

/// The characters as they are seen (an emoji of several, a letter with its accents, a flag), and how many columns each takes when
/// it is drawn.
pub(crate) fn clusters(text: &str) -> impl DoubleEndedIterator<Item = (&str, usize)> {
    text.graphemes(true).map(|cluster| {
        let columns = if cluster.contains(char::is_control) { 0 } else { usize::from(cluster.cell_width()) };
        (cluster, columns)
    })
}

/// How many columns a text takes.
pub(crate) fn columns(text: &str) -> usize {
    clusters(text).map(|(_, columns)| columns).sum()
}

/// With blanks behind it, as far as so many columns.
pub(crate) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// With blanks in front of it, as far as so many columns.
pub(crate) fn padded_in_front(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(text))))
}

/// With an ellipsis where it takes more columns.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |(_, columns): &(&str, usize)| {
        used += columns;
        used < width
    };
    clusters(text).take_while(fits).map(|(cluster, _)| cluster).chain(["…"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A family of four, joined.
    const FAMILY: &str = "👩\u{200d}👩\u{200d}👧\u{200d}👦";

    #[test]
    fn what_is_drawn_as_one_is_measured_as_one() {
        for (text, expected) in [
            ("a", 1),
            ("漢", 2),
            (FAMILY, 2),
            ("👩\u{200d}🚀", 2),
            ("🇩🇪", 2),
            ("👍🏽", 2),
            ("❤\u{fe0f}", 2),
            ("e\u{301}\u{302}", 1),
            ("1\u{fe0f}\u{20e3}", 2),
        ] {
            assert_eq!(clusters(text).collect::<Vec<_>>(), [(text, expected)]);
        }
        assert_eq!(columns("🇩🇪🇫🇷a"), 5);
        assert_eq!(columns("\x1b\n"), 0);
    }

    #[test]
    fn text_is_padded_and_cut_by_what_is_drawn() {
        assert_eq!(padded("漢字", 6) + "|", "漢字  |");
        assert_eq!(padded_in_front("é", 3), "  é");
        assert_eq!(padded("long", 2), "long");
        for (text, width, expected) in [
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 7, "漢字漢…"),
            ("漢字漢字", 6, "漢字…"),
            ("abc", 2, "a…"),
            ("abc", 1, "…"),
        ] {
            assert_eq!(shortened(text, width), expected);
        }
    }
}
