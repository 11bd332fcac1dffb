//! The gains of a study as a plot: a line a comparison.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::effects::Effect;

/// Width of the plot, pixels.
const WIDTH: u32 = 920;
/// Height of the axis and the heading together, and of a line, pixels.
const AROUND: u32 = 96;
const LINE: u32 = 34;
/// Width of the names, pixels.
const NAMES: u32 = 260;
/// Share of the axis that is left free at each end.
const MARGIN: f64 = 0.08;
/// Bound, gain and single sets (Okabe and Ito 2008).
const BOUND: RGBColor = RGBColor(213, 94, 0);
const GAIN: RGBColor = RGBColor(0, 114, 178);
const SET: RGBColor = RGBColor(86, 180, 233);

type Drawing<T> = Result<T, Box<dyn std::error::Error>>;

/// An SVG: the gain with its interval, each set's mean, and the bound that was set before.
///
/// # Errors
/// When the drawing fails.
pub fn forest(effects: &[Effect], title: &str) -> Result<String> {
    let mut svg = String::new();
    let effects: Vec<Effect> = effects.iter().filter(|effect| effect.is_gain()).cloned().collect();
    let effects = &effects[..];
    let size = (WIDTH, AROUND + LINE * effects.len() as u32);
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw(&area, effects, title).map_err(|error| anyhow!("drawing the gains: {error}"))?;
    drop(area);
    Ok(svg)
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, effects: &[Effect], title: &str) -> Drawing<()> {
    area.fill(&WHITE)?;
    let (low, high) = reach(effects);
    let space = MARGIN * (high - low);
    let lines = effects.len() as f64;
    let mut builder = ChartBuilder::on(area);
    builder.caption(title, ("sans-serif", 18)).margin(12);
    builder.x_label_area_size(44).y_label_area_size(NAMES);
    let mut chart = builder.build_cartesian_2d(low - space..high + space, -lines + 0.5..0.5)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("gain, points of accuracy").disable_y_mesh().disable_y_axis().y_labels(0);
    mesh.light_line_style(WHITE).draw()?;
    let zero = [(0.0, -lines + 0.5), (0.0, 0.5)];
    chart.draw_series(LineSeries::new(zero, BLACK.stroke_width(1)))?;
    for (row, effect) in effects.iter().enumerate() {
        let y = -(row as f64);
        let bound = effect.comparison.bound();
        let mark = [(bound, y - 0.35), (bound, y + 0.35)];
        chart.draw_series(LineSeries::new(mark, BOUND.stroke_width(2)))?;
        let means = effect.sets.iter().map(|set| set.gains.iter().sum::<f64>() / set.gains.len() as f64);
        chart.draw_series(means.map(|mean| Circle::new((mean, y), 3, SET.filled())))?;
        if let (Some(estimate), Some(at)) = (effect.estimate, effect.interval) {
            let line = [(at.low, y), (at.high, y)];
            chart.draw_series(LineSeries::new(line, GAIN.stroke_width(2)))?;
            chart.draw_series([Circle::new((estimate, y), 6, GAIN.filled())])?;
        }
        let (_, at) = chart.backend_coord(&(low, y));
        let name = effect.comparison.name.as_str();
        area.draw(&Text::new(name.to_owned(), (16, at - 7), ("sans-serif", 14)))?;
    }
    area.present()?;
    Ok(())
}

/// The least and the greatest that is drawn; both sides of zero.
fn reach(effects: &[Effect]) -> (f64, f64) {
    let of = |effect: &Effect| {
        let ends = effect.interval.map(|at| [at.low, at.high]).into_iter().flatten();
        let gains = effect.sets.iter().flat_map(|set| set.gains.iter().copied());
        ends.chain(gains).chain([effect.comparison.bound()]).collect::<Vec<_>>()
    };
    let wide = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    effects.iter().flat_map(of).fold((-0.5, 0.5), wide)
}
