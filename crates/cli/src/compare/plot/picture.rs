//! The picture itself: two panels that share a legend, and what the figures say below.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::compare::crossover::{self, Crossing, Crossover, Panel};
use crate::compare::plot::axes;
use crate::compare::plot::canvas::{FONT, Failed};
use crate::compare::plot::style::{self, Marker, Style};
use crate::compare::plot::words;
use crate::compare::report::{Point, Report};

/// Its width in units; a canvas says how many dots a unit has.
pub(crate) const WIDTH: u32 = 1360;

const EDGE: i32 = 28;
const PANELS: (i32, i32) = (100, 620);
const LEGEND: i32 = 648;
const SENTENCES: i32 = 684;
const SENTENCE: i32 = 22;
/// The part of a panel's height that is kept free for the words of each mark.
const HEADROOM: f64 = 0.05;

const INK: RGBColor = RGBColor(34, 34, 34);
const PALE: RGBColor = RGBColor(238, 238, 238);
const GREY: RGBColor = RGBColor(208, 208, 208);

/// What is drawn.
pub(crate) struct Picture {
    heads: [String; 3],
    series: Vec<Series>,
    crossovers: Vec<Crossover>,
}

struct Series {
    label: String,
    style: Style,
    points: Vec<Point>,
}

impl Picture {
    /// Everything that a report has to show.
    pub(crate) fn of(report: &Report) -> Picture {
        let rows = report.rows.iter().filter(|row| !words::points(row).is_empty());
        let series = rows.map(|row| Series {
            label: words::label(row),
            style: style::of(&row.transport),
            points: words::points(row).to_vec(),
        });
        Picture {
            heads: [words::title(report), words::machine(report), words::circumstances(report)],
            series: series.collect(),
            crossovers: crossover::find(report),
        }
    }

    /// Whether there is nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Its height in units.
    pub(crate) fn height(&self) -> u32 {
        SENTENCES.unsigned_abs() + SENTENCE.unsigned_abs() * self.crossovers.len() as u32 + 12
    }

    /// Draws it on a canvas of [`WIDTH`] by [`height`](Self::height) units of `scale` dots.
    pub(crate) fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: u32) -> Result<(), Failed>
    where
        B::ErrorType: 'static,
    {
        let pen = Pen { root, scale };
        root.fill(&WHITE).map_err(Failed::of)?;
        let [title, machine, circumstances] = &self.heads;
        pen.write(title, (EDGE, 20), 24, FontStyle::Bold)?;
        pen.write(machine, (EDGE, 52), 14, FontStyle::Normal)?;
        pen.write(circumstances, (EDGE, 74), 14, FontStyle::Normal)?;
        let middle = WIDTH as i32 / 2;
        self.panel(&pen, Panel::Latency, (0, middle))?;
        self.panel(&pen, Panel::Throughput, (middle, WIDTH as i32))?;
        self.legend(&pen)?;
        self.sentences(&pen)
    }

    fn panel<B: DrawingBackend>(&self, pen: &Pen<'_, B>, panel: Panel, (left, right): (i32, i32)) -> Result<(), Failed>
    where
        B::ErrorType: 'static,
    {
        let marks: Vec<(&Crossover, &Crossing)> = self
            .crossovers
            .iter()
            .filter(|it| it.panel == panel && !it.is_unclear())
            .flat_map(|it| it.crossings.iter().map(move |crossing| (it, crossing)))
            .collect();
        let headroom = HEADROOM * marks.len() as f64;
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (Some(x), Some(y)) = (
            axes::sizes(points().map(|point| point.size_bytes)),
            axes::values(points().map(|point| panel.value(point)), headroom),
        ) else {
            return Ok(());
        };
        let area = pen
            .root
            .clone()
            .shrink((pen.dots(left), pen.dots(PANELS.0)), (pen.dots(right - left), pen.dots(PANELS.1 - PANELS.0)));
        let (caption, unit, word): (_, _, fn(f64) -> String) = match panel {
            Panel::Latency => {
                ("Latency, one way: half of a round trip, median", "time of one message", axes::time_word)
            }
            Panel::Throughput => {
                ("Throughput of a stream in one direction", "GiB per second (2^30 bytes)", axes::rate_word)
            }
        };
        let mut chart = ChartBuilder::on(&area)
            .caption(caption, pen.font(16, FontStyle::Bold))
            .margin_left(pen.dots(14))
            .margin_right(pen.dots(22))
            .x_label_area_size(pen.dots(54))
            .y_label_area_size(pen.dots(78))
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(Failed::of)?;
        chart
            .configure_mesh()
            .set_all_tick_mark_size(pen.dots(5))
            .x_labels(x.bold.len() + x.light.len())
            .y_labels(y.bold.len() + y.light.len())
            .bold_line_style(ShapeStyle::from(GREY).stroke_width(pen.scale))
            .light_line_style(ShapeStyle::from(PALE).stroke_width(pen.scale))
            .axis_style(ShapeStyle::from(INK).stroke_width(pen.scale))
            .label_style(pen.font(14, FontStyle::Normal))
            .axis_desc_style(pen.font(15, FontStyle::Normal))
            .x_label_formatter(&|power| axes::size_word(*power))
            .y_label_formatter(&|power| word(*power))
            .x_desc("message size")
            .y_desc(unit)
            .draw()
            .map_err(Failed::of)?;
        let place = |point: &Point| ((point.size_bytes as f64).log2(), panel.value(point).log10());
        for series in &self.series {
            let line = ShapeStyle::from(series.style.colour).stroke_width(2 * pen.scale);
            let path: Vec<(f64, f64)> = series.points.iter().map(place).collect();
            chart.draw_series([PathElement::new(path.clone(), line)]).map_err(Failed::of)?;
            for point in path {
                let at = chart.backend_coord(&point);
                pen.marker(at, series.style)?;
            }
        }
        let mut words = Vec::new();
        for (row, (crossover, crossing)) in marks.iter().enumerate() {
            let at = crossing.bytes.log2();
            let ends = [y.end, y.start].map(|end| chart.backend_coord(&(at, end)));
            let colour = style::of(&crossover.transport).colour;
            pen.dashes(ends, colour)?;
            words.push((ends[0], colour, crossover.mark(crossing), row as i32, f64::midpoint(x.start, x.end) < at));
        }
        // Above all the dashes.
        words
            .iter()
            .try_for_each(|(top, colour, text, row, leftwards)| pen.flag(*top, *colour, text, *row, *leftwards))?;
        Ok(())
    }

    fn legend<B: DrawingBackend>(&self, pen: &Pen<'_, B>) -> Result<(), Failed>
    where
        B::ErrorType: 'static,
    {
        const SAMPLE: i32 = 34;
        const GAP: i32 = 26;
        let widths: Vec<i32> =
            self.series.iter().map(|series| pen.width(&series.label, 15)).collect::<Result<_, _>>()?;
        let total: i32 = widths.iter().map(|width| SAMPLE + 8 + width + GAP).sum::<i32>() - GAP;
        let mut left = (WIDTH as i32 - total) / 2;
        for (series, width) in self.series.iter().zip(widths) {
            let line = ShapeStyle::from(series.style.colour).stroke_width(2 * pen.scale);
            let y = pen.dots(LEGEND);
            let ends = [(pen.dots(left), y), (pen.dots(left + SAMPLE), y)];
            pen.root.draw(&PathElement::new(ends, line)).map_err(Failed::of)?;
            pen.marker((pen.dots(left + SAMPLE / 2), y), series.style)?;
            let words = pen.font(15, FontStyle::Normal).pos(Pos::new(HPos::Left, VPos::Center));
            let at = (pen.dots(left + SAMPLE + 8), y);
            pen.root.draw_text(&series.label, &words, at).map_err(Failed::of)?;
            left += SAMPLE + 8 + width + GAP;
        }
        Ok(())
    }

    fn sentences<B: DrawingBackend>(&self, pen: &Pen<'_, B>) -> Result<(), Failed>
    where
        B::ErrorType: 'static,
    {
        let in_order =
            Panel::BOTH.into_iter().flat_map(|panel| self.crossovers.iter().filter(move |it| it.panel == panel));
        for (row, crossover) in in_order.enumerate() {
            let at = (EDGE, SENTENCES + SENTENCE * row as i32);
            pen.write(&crossover.to_string(), at, 15, FontStyle::Normal)?;
        }
        Ok(())
    }
}

/// Draws in units on a canvas of dots.
struct Pen<'a, B: DrawingBackend> {
    root: &'a DrawingArea<B, Shift>,
    scale: u32,
}

impl<B: DrawingBackend> Pen<'_, B>
where
    B::ErrorType: 'static,
{
    fn dots(&self, units: i32) -> i32 {
        units * self.scale as i32
    }

    fn font(&self, size: u32, style: FontStyle) -> TextStyle<'static> {
        FontDesc::new(FontFamily::Name(FONT), f64::from(size * self.scale), style).color(&INK)
    }

    fn write(&self, text: &str, (x, y): (i32, i32), size: u32, style: FontStyle) -> Result<(), Failed> {
        let at = (self.dots(x), self.dots(y));
        self.root.draw_text(text, &self.font(size, style), at).map_err(Failed::of)
    }

    /// In units.
    fn width(&self, text: &str, size: u32) -> Result<i32, Failed> {
        let (width, _) = self.root.estimate_text_size(text, &self.font(size, FontStyle::Normal)).map_err(Failed::of)?;
        Ok((width / self.scale) as i32)
    }

    /// The marker of a style, around a dot.
    fn marker(&self, at: (i32, i32), style: Style) -> Result<(), Failed> {
        let (x, y) = at;
        let half = self.dots(5);
        let filled = ShapeStyle::from(style.colour).filled();
        let stroke = ShapeStyle::from(style.colour).stroke_width(2 * self.scale);
        let polygon = |corners: &[(i32, i32)]| {
            let corners: Vec<(i32, i32)> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
            self.root.draw(&Polygon::new(corners, filled))
        };
        let strokes = |ends: [[(i32, i32); 2]; 2]| {
            let move_to = |(dx, dy): (i32, i32)| (x + dx, y + dy);
            ends.into_iter().try_for_each(|ends| self.root.draw(&PathElement::new(ends.map(move_to), stroke)))
        };
        match style.marker {
            Marker::Disc => self.root.draw(&Circle::new(at, half, filled)),
            Marker::Ring => {
                let inner = Circle::new(at, half, ShapeStyle::from(WHITE).filled());
                self.root.draw(&inner).and_then(|()| self.root.draw(&Circle::new(at, half, stroke)))
            }
            Marker::Square => {
                let half = half * 9 / 10;
                self.root.draw(&Rectangle::new([(x - half, y - half), (x + half, y + half)], filled))
            }
            Marker::Up => {
                polygon(&[(0, -half * 6 / 5), (half * 11 / 10, half * 4 / 5), (-half * 11 / 10, half * 4 / 5)])
            }
            Marker::Down => {
                polygon(&[(0, half * 6 / 5), (half * 11 / 10, -half * 4 / 5), (-half * 11 / 10, -half * 4 / 5)])
            }
            Marker::Left => {
                polygon(&[(-half * 6 / 5, 0), (half * 4 / 5, -half * 11 / 10), (half * 4 / 5, half * 11 / 10)])
            }
            Marker::Diamond => polygon(&[(0, -half * 6 / 5), (half * 6 / 5, 0), (0, half * 6 / 5), (-half * 6 / 5, 0)]),
            Marker::Times => strokes([[(-half, -half), (half, half)], [(-half, half), (half, -half)]]),
            Marker::Plus => strokes([[(-half * 6 / 5, 0), (half * 6 / 5, 0)], [(0, -half * 6 / 5), (0, half * 6 / 5)]]),
        }
        .map_err(Failed::of)
    }

    /// A dashed line where ways cross, from top to bottom.
    fn dashes(&self, [(x, top), (_, bottom)]: [(i32, i32); 2], colour: RGBColor) -> Result<(), Failed> {
        let line = ShapeStyle::from(colour).stroke_width(self.scale);
        let (dash, gap) = (self.dots(6), self.dots(4));
        let mut y = top;
        // The lower end ends the loop.
        while y < bottom {
            let ends = [(x, y), (x, bottom.min(y + dash))];
            self.root.draw(&PathElement::new(ends, line)).map_err(Failed::of)?;
            y += dash + gap;
        }
        Ok(())
    }

    /// The words of a dashed line, in the headroom, on the side where there is room.
    fn flag(
        &self,
        (x, top): (i32, i32),
        colour: RGBColor,
        words: &str,
        row: i32,
        leftwards: bool,
    ) -> Result<(), Failed> {
        let (side, away, width) = if leftwards {
            (HPos::Right, -6, -self.width(words, 14)?)
        } else {
            (HPos::Left, 6, self.width(words, 14)?)
        };
        let style = self.font(14, FontStyle::Normal).color(&colour).pos(Pos::new(side, VPos::Center));
        let (left, middle) = (x + self.dots(away), top + self.dots(12 + 21 * row));
        let paper =
            [(left - self.dots(away / 2), middle - self.dots(9)), (left + self.dots(width), middle + self.dots(9))];
        self.root.draw(&Rectangle::new(paper, ShapeStyle::from(WHITE).filled())).map_err(Failed::of)?;
        self.root.draw_text(words, &style, (left, middle)).map_err(Failed::of)
    }
}
