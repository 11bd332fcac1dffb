//! Accuracy of every method against what it costs, as plots.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

use super::standings::{Standing, Standings};

/// Width and height, pixels.
const SIZE: (u32, u32) = (920, 520);
/// Width of the legend, pixels.
const LEGEND: u32 = 220;
/// Ratio of the largest value to the smallest from which an axis is logarithmic.
const DECADES: f64 = 10.0;
/// Share of an axis that is left free at each end.
const MARGIN: f64 = 0.06;
type Drawing<T> = Result<T, Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Colours that the colour-blind can tell apart and that show on white (Okabe and Ito 2008, without the yellow).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Outlines of marks, pixels: with as many colours less one, 42 methods each have a pair of their own.
const MARKS: [&[(i32, i32)]; 6] = [
    &[(5, 0), (4, 4), (0, 5), (-4, 4), (-5, 0), (-4, -4), (0, -5), (4, -4)],
    &[(4, 4), (-5, 4), (-5, -5), (4, -5)],
    &[(0, -6), (6, 5), (-6, 5)],
    &[(0, -7), (6, 0), (0, 7), (-6, 0)],
    &[(0, 6), (6, -5), (-6, -5)],
    &[
        (2, 2),
        (6, 2),
        (6, -2),
        (2, -2),
        (2, -6),
        (-2, -6),
        (-2, -2),
        (-6, -2),
        (-6, 2),
        (-2, 2),
        (-2, 6),
        (2, 6),
    ],
];

/// What accuracy is set against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Parameters trained, the head's included.
    Parameters,
    /// FLOPs of one image.
    Flops,
    /// Bytes of the pack.
    Bytes,
    /// FLOPs of one image under eight tasks.
    FlopsOf8,
}

impl Against {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Parameters, Self::Flops, Self::Bytes, Self::FlopsOf8];

    /// Its name in names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameters => "parameters",
            Self::Flops => "flops",
            Self::Bytes => "bytes",
            Self::FlopsOf8 => "flops-of-8",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Parameters => "trained parameters, with the head",
            Self::Flops => "GFLOPs of one image",
            Self::Bytes => "bytes of the pack",
            Self::FlopsOf8 => "GFLOPs of one image under 8 tasks",
        }
    }

    fn of(self, line: &Standing) -> Option<f64> {
        match self {
            Self::Parameters => Some(line.parameters),
            Self::Flops => Some(line.flops / 1e9),
            Self::Bytes => line.pack_bytes,
            Self::FlopsOf8 => Some(line.flops_of_8 / 1e9),
        }
    }
}

/// A method on a plot.
struct Point<'a> {
    line: &'a Standing,
    x: f64,
    colour: RGBColor,
    mark: &'static [(i32, i32)],
}

/// An SVG: a mark a method, a bar of one standard deviation, and a legend, best first.
///
/// # Errors
/// When the drawing fails.
pub fn scatter(standings: &Standings, against: Against, title: &str) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    draw(area, &points(standings, against), (against, title))
        .map_err(|error| anyhow!("drawing the comparison: {error}"))?;
    Ok(svg)
}

/// A method looks the same on every plot of a comparison: by its place among the names.
fn points(standings: &Standings, against: Against) -> Vec<Point<'_>> {
    let mut names: Vec<&str> = standings.lines.iter().map(|line| line.method.as_str()).collect();
    names.sort_unstable();
    let point = |line| {
        let x = against.of(line)?;
        let place = names.iter().position(|name| *name == line.method)?;
        Some(Point { line, x, colour: COLOURS[place % COLOURS.len()], mark: MARKS[place % MARKS.len()] })
    };
    standings.lines.iter().filter_map(point).collect()
}

fn draw(area: Area<'_>, points: &[Point<'_>], (against, title): (Against, &str)) -> Drawing<()> {
    area.fill(&WHITE)?;
    let (plot, legend) = area.split_horizontally(SIZE.0 - LEGEND);
    let (low, high) = range(points.iter().map(|point| point.x));
    let spread = |by: f64| {
        points.iter().map(move |p| 100.0 * (p.line.accuracy + by * p.line.deviation.unwrap_or(0.0)))
    };
    let (worst, best) = (range(spread(-1.0)).0, range(spread(1.0)).1);
    let space = MARGIN * (best - worst).max(1.0);
    let y = worst - space..best + space;
    let mut builder = ChartBuilder::on(&plot);
    builder.caption(title, ("sans-serif", 18)).margin(12).x_label_area_size(44).y_label_area_size(54);
    if high / low >= DECADES {
        let wider = (high / low).powf(MARGIN);
        paint(builder.build_cartesian_2d((low / wider..high * wider).log_scale(), y)?, points, against)?;
    } else {
        let wider = MARGIN * (high - low).max(low / 100.0);
        paint(builder.build_cartesian_2d(low - wider..high + wider, y)?, points, against)?;
    }
    explain(&legend, points)?;
    area.present()?;
    Ok(())
}

fn paint<X: Ranged<ValueType = f64> + ValueFormatter<f64>>(
    mut chart: ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, plotters::coord::types::RangedCoordf64>>,
    points: &[Point<'_>],
    against: Against,
) -> Drawing<()> {
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(against.label()).y_desc("accuracy, %").x_labels(8).light_line_style(WHITE);
    mesh.x_label_formatter(&|&x| short(x)).draw()?;
    for Point { line, x, colour, mark } in points {
        let y = 100.0 * line.accuracy;
        if let Some(by) = line.deviation.map(|by| 100.0 * by) {
            chart.draw_series([ErrorBar::new_vertical(*x, y - by, y, y + by, colour.stroke_width(1), 8)])?;
        }
        let outline: Vec<(i32, i32)> = mark.iter().chain(mark.first()).copied().collect();
        let filled = EmptyElement::at((*x, y)) + Polygon::new(*mark, colour.filled());
        chart.draw_series([filled + PathElement::new(outline, WHITE.stroke_width(1))])?;
    }
    Ok(())
}

/// The legend: every method by its mark, best first.
fn explain(area: &Area<'_>, points: &[Point<'_>]) -> Drawing<()> {
    for (row, Point { line, colour, mark, .. }) in points.iter().enumerate() {
        let (x, y) = (14, 48 + 21 * row as i32);
        let moved: Vec<(i32, i32)> = mark.iter().map(|&(right, down)| (x + right, y + down)).collect();
        area.draw(&Polygon::new(moved, colour.filled()))?;
        let text = format!("{} {:.1}", line.method, 100.0 * line.accuracy);
        area.draw(&Text::new(text, (x + 14, y - 7), ("sans-serif", 14)))?;
    }
    Ok(())
}

/// A number with three digits and its unit's letter.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        _ if value >= 1e9 => (value / 1e9, " G"),
        _ if value >= 1e6 => (value / 1e6, " M"),
        _ if value >= 1e3 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = if scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        3
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// Smallest and largest; 1 and 1 of nothing, which any axis can show.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let found = values.fold(None, |range: Option<(f64, f64)>, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    found.unwrap_or((1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let told = [0.687, 8.0, 12_345.0, 250_000.0, 1_000_000.0, 1_234_000.0].map(short);
        assert_eq!(told, ["0.687", "8", "12.3 k", "250 k", "1 M", "1.234 M"]);
    }

    #[test]
    fn as_many_methods_as_there_may_be_look_different() {
        let looks: std::collections::BTreeSet<_> =
            (0..42).map(|i| (i % COLOURS.len(), i % MARKS.len())).collect();
        assert_eq!(looks.len(), 42);
    }
}
