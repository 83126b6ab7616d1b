//! The lesson as one page for a browser, complete in itself: no script, nothing that is fetched.

use super::finding::{Figure, Verdict};
use super::{Lesson, Taken};

const STYLE: &str = "\
body{font:16px/1.5 sans-serif;color:#1c1c1c;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem}h2{font-size:1.1rem;margin:2.5rem 0 .3rem}\
.verdict{font-weight:bold;padding:.05rem .5rem;border-radius:.3rem;color:#fff;white-space:nowrap}\
.holds{background:#1b7837}.no-longer{background:#762a83}.depends{background:#9a6700}.missing{background:#b2182b}\
table.sum{border-collapse:collapse;width:100%}.sum td{padding:.3rem .5rem;border-bottom:1px solid #ddd;vertical-align:top}\
.note{color:#555;font-size:.9rem}code{background:#f2f2f2;padding:.05rem .3rem}\
svg{max-width:100%;height:auto;display:block;margin:.8rem 0}a{color:inherit}";

/// Width of a picture of bars, of its words, and of its longest bar.
const WIDTH: f64 = 880.0;
const WORDS: f64 = 400.0;
const LONGEST: f64 = 340.0;
/// Height of one bar with its gap.
const STEP: f64 = 24.0;
/// Bars whose values differ by more than this are drawn by their logarithm.
const FAR_APART: f64 = 50.0;

/// The page.
pub(super) fn page(lesson: &Lesson) -> String {
    let machine = &lesson.machine;
    let host = machine.host.as_deref().unwrap_or("this machine");
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let kernel = machine.kernel.as_deref().unwrap_or("unknown");
    let about = format!("{host}: {cpu}, {} CPUs, Linux {kernel}; wharf {}", machine.cpus, lesson.version);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Shared memory and message passing on {}</title><style>{STYLE}</style></head><body>\n\
         <h1>Shared memory and message passing, tried</h1>\n<p>{}. {:.0} seconds.</p>\n<table class=\"sum\">\n",
        escaped(host),
        escaped(&about),
        lesson.seconds
    );
    for row in &lesson.rows {
        html.push_str(&format!(
            "<tr><td><a href=\"#{}\">{}</a></td><td>{}</td></tr>\n",
            row.name,
            escaped(row.claim),
            badge(row.verdict)
        ));
    }
    html.push_str("</table>\n");
    if let Some(warning) = lesson.warning() {
        html.push_str(&format!("<p class=\"note\">{}.</p>\n", escaped(&warning)));
    }
    lesson.rows.iter().for_each(|row| html.push_str(&section(row)));
    html.push_str("</body></html>\n");
    html
}

fn section(row: &Taken) -> String {
    let mut html = format!(
        "<h2 id=\"{}\">{}</h2>\n<p>{} {}.</p>\n",
        row.name,
        escaped(row.claim),
        badge(row.verdict),
        escaped(row.why.trim_end_matches('.'))
    );
    match &row.picture {
        Some(svg) => html.push_str(svg.trim_start_matches(|it| it != '<')),
        None => html.push_str(&pictures(&row.figures)),
    }
    if let Some(note) = &row.note {
        html.push_str(&format!("<p class=\"note\">{}.</p>\n", escaped(note)));
    }
    html.push_str(&format!("<p><code>{}</code></p>\n", escaped(&row.command)));
    html
}

fn badge(verdict: Verdict) -> String {
    let class = match verdict {
        Verdict::Holds => "holds",
        Verdict::HoldsNoLonger => "no-longer",
        Verdict::Depends => "depends",
        Verdict::NotMeasured => "missing",
    };
    format!("<span class=\"verdict {class}\">{}</span>", verdict.words())
}

/// A picture of bars for each unit.
fn pictures(figures: &[Figure]) -> String {
    let mut units: Vec<&str> = Vec::new();
    for figure in figures {
        if !units.contains(&figure.unit) {
            units.push(figure.unit);
        }
    }
    let of = |unit: &&str| figures.iter().filter(|figure| figure.unit == *unit).collect::<Vec<_>>();
    units.iter().map(|unit| bars(&of(unit))).collect()
}

fn bars(figures: &[&Figure]) -> String {
    let most = figures.iter().map(|figure| figure.value).fold(0.0, f64::max);
    let least = figures.iter().map(|figure| figure.value).filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    let by_logarithm = most / least > FAR_APART;
    let length = |value: f64| match (value > 0.0, by_logarithm) {
        (false, _) => 0.0,
        (true, false) => LONGEST * value / most,
        // A tenth for the least, so that it can be seen.
        (true, true) => LONGEST * (0.1 + 0.9 * (value / least).ln() / (most / least).ln()),
    };
    let height = STEP * figures.len() as f64 + if by_logarithm { STEP } else { 0.0 } + 4.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"13\">\n"
    );
    for (at, figure) in figures.iter().enumerate() {
        let (top, long) = (STEP * at as f64, length(figure.value));
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect x=\"{WORDS}\" y=\"{:.1}\" width=\"{long:.1}\" \
             height=\"16\" fill=\"#0072b2\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            WORDS - 8.0,
            top + 17.0,
            escaped(&figure.what),
            top + 4.0,
            WORDS + long + 6.0,
            top + 17.0,
            escaped(&figure.shown())
        ));
    }
    if by_logarithm {
        let below = STEP * figures.len() as f64 + 17.0;
        svg.push_str(&format!(
            "<text x=\"{WORDS}\" y=\"{below:.1}\" fill=\"#555\">the bars grow with the logarithm</text>\n"
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text that is text in a page, whoever wrote it.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_wrote_becomes_a_tag() {
        assert_eq!(escaped("<b a='1'>&\"x\""), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;x&quot;");
        let svg = bars(&[&Figure::new("<script>", 1.0, "ns")]);
        assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script>"));
    }

    #[test]
    fn each_unit_has_bars_of_its_own_and_the_longest_fits() {
        let figures = [
            Figure::new("a", 1.0, "ns"),
            Figure::new("b", 2.0, "KiB"),
            Figure::new("c", 1e6, "ns"),
            Figure::new("d", 0.0, "ns"),
        ];
        let svg = pictures(&figures);
        assert_eq!(svg.matches("<svg ").count(), 2);
        assert_eq!(svg.matches("<rect ").count(), 4);
        assert_eq!(svg.matches("logarithm").count(), 1);
        assert!(
            svg.contains("width=\"340.0\"") && svg.contains("width=\"34.0\"") && svg.contains("width=\"0.0\""),
            "{svg}"
        );
    }
}
