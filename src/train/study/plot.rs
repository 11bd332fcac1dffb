//! Accuracy against parameters, as the paper's figure 4.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::contender::Contender;
use super::summary::{Line, Summary};

/// Width and height, pixels.
const SIZE: (u32, u32) = (760, 460);

/// Colours that the colour-blind can tell apart and that show on white (Okabe and Ito 2008, without the yellow).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// An SVG: a line a contender, a bar of one standard deviation at each training; the head alone is a level.
///
/// # Errors
/// When there is nothing to draw or the drawing fails.
pub fn plot(summary: &Summary, title: &str) -> Result<String> {
    let mut svg = String::new();
    draw(SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), summary, title)
        .map_err(|error| anyhow!("drawing the comparison: {error}"))?;
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(area: Area<'_>, summary: &Summary, title: &str) -> Result<(), Box<dyn std::error::Error>> {
    let sized = || summary.lines.iter().filter(|line| line.adapter_parameters > 0.0);
    let (low, high) = range(sized().map(|line| line.adapter_parameters));
    let (worst, _) = range(summary.lines.iter().map(|line| 100.0 * (line.mean - line.deviation)));
    let (_, best) = range(summary.lines.iter().map(|line| 100.0 * (line.mean + line.deviation)));
    let margin = (best - worst).max(1.0) * 0.08;
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(54)
        .build_cartesian_2d((low * 0.8..high * 1.25).log_scale(), worst - margin..best + margin)?;
    chart
        .configure_mesh()
        .x_desc("parameters of the adapters")
        .y_desc("held-out accuracy, %")
        .x_label_formatter(&|x| format!("{:.0} k", x / 1e3))
        .light_line_style(WHITE)
        .draw()?;
    for (index, contender) in contenders(summary).into_iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let lines: Vec<&Line> = summary.lines.iter().filter(|line| line.contender == contender).collect();
        let places: Vec<(f64, f64)> = match contender {
            Contender::Probe => [low, high].iter().map(|&x| (x, 100.0 * lines[0].mean)).collect(),
            _ => lines.iter().map(|line| (line.adapter_parameters, 100.0 * line.mean)).collect(),
        };
        chart
            .draw_series(LineSeries::new(places, colour.stroke_width(2)))?
            .label(contender.to_string())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        let bars = lines.iter().filter(|line| line.adapter_parameters > 0.0).map(|line| {
            let (x, y, d) = (line.adapter_parameters, 100.0 * line.mean, 100.0 * line.deviation);
            ErrorBar::new_vertical(x, y - d, y, y + d, colour.filled(), 8)
        });
        chart.draw_series(bars)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

fn contenders(summary: &Summary) -> Vec<Contender> {
    let mut contenders: Vec<Contender> = summary.lines.iter().map(|line| line.contender).collect();
    contenders.dedup();
    contenders
}

/// Smallest and largest; 1 and 1 of nothing, which a logarithmic axis can show.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let found = values.fold(None, |range: Option<(f64, f64)>, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    found.unwrap_or((1.0, 1.0))
}
