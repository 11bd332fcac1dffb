//! Loss and accuracy over the epochs, cycle after cycle.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::html::section as part;
use super::story::Story;
use crate::pack::ProblemType;
use crate::train::history::Epoch;

/// Size of one plot, pixels.
const SIZE: (u32, u32) = (560, 300);
/// Axes; `style.css` maps this and the others to the page's inks.
const AXIS: RGBColor = RGBColor(1, 1, 1);
/// Grid and borders of cycles.
const GRID: RGBColor = RGBColor(2, 2, 2);
/// What was measured on training images.
const TRAINED: RGBColor = RGBColor(0x25, 0x63, 0xC9);
/// What was measured on held-out images.
const HELD_OUT: RGBColor = RGBColor(0xC2, 0x57, 0x1A);
/// Most epochs whose points are marked.
const MARKED: usize = 60;

/// Two values an epoch, training and held-out, and what they are.
struct Plot {
    axis: &'static str,
    values: [Vec<f64>; 2],
    range: (f64, f64),
}

/// Both plots.
pub(super) fn section(story: &Story<'_>) -> Result<String> {
    let epochs = &story.history.epochs;
    if epochs.is_empty() {
        return Ok(String::new());
    }
    let values = |pick: fn(&Epoch) -> [f64; 2]| {
        [0, 1].map(|which| epochs.iter().map(|epoch| pick(epoch)[which]).collect::<Vec<f64>>())
    };
    let loss = values(|e| [e.loss, e.validation_loss]);
    let accuracy = values(|e| [e.accuracy, e.validation_accuracy]);
    let problem = story.decision.problem;
    let unit = if problem == ProblemType::Regression { "loss" } else { "loss, nats" };
    let plots = [
        Plot { axis: unit, range: (0.0, 1.05 * highest(&loss)), values: loss },
        Plot { axis: problem.score(), range: (floor(&accuracy), 1.005), values: clamped(accuracy) },
    ];
    let mut body = String::from(
        "<p class=\"key\"><i style=\"background:var(--trained)\"></i><span>training images, while the model \
         changed</span><i style=\"background:var(--held)\"></i><span>held-out images, after the epoch</span></p>\n\
         <div class=\"pair\">\n",
    );
    for plot in &plots {
        let svg = draw(plot, &borders(epochs)).map_err(|e| anyhow!("{}: {e}", plot.axis))?;
        body.push_str(&format!("<div class=\"wide plot\">{svg}</div>\n"));
    }
    body.push_str("</div>\n");
    Ok(part("Learning", &lead(story), &body))
}

fn lead(story: &Story<'_>) -> String {
    let smoothing = story.provenance.details.get("smoothing").and_then(|s| s.as_f64()).unwrap_or(0.0);
    let cycles = if story.history.cycles.len() > 1 { " A vertical line is a pruning." } else { "" };
    let smoothed = if smoothing > 0.0 && story.decision.problem.is_single_label() {
        format!(
            " The training loss includes label smoothing of {smoothing} (and any mixing of images), the held-out \
             loss does not, so the two are not to be compared."
        )
    } else {
        String::new()
    };
    format!("Every epoch, numbered through all cycles.{cycles}{smoothed}")
}

fn highest(values: &[Vec<f64>; 2]) -> f64 {
    let finite = values.iter().flatten().copied().filter(|v| v.is_finite());
    finite.fold(0.0, f64::max).max(1e-3)
}

/// Without what is below 0, as an R² may be: the axis begins there.
fn clamped(values: [Vec<f64>; 2]) -> [Vec<f64>; 2] {
    values.map(|values| values.into_iter().map(|value| value.max(0.0)).collect())
}

/// The lowest value, down to a tenth.
fn floor(values: &[Vec<f64>; 2]) -> f64 {
    let lowest = values.iter().flatten().copied().filter(|v| v.is_finite()).fold(1.0, f64::min);
    ((lowest * 10.0).floor() / 10.0).clamp(0.0, 0.9)
}

/// Between which epochs, numbered from 1, a cycle ended.
fn borders(epochs: &[Epoch]) -> Vec<f64> {
    let places = epochs.windows(2).enumerate().filter(|(_, pair)| pair[0].cycle != pair[1].cycle);
    places.map(|(index, _)| index as f64 + 1.5).collect()
}

fn draw(plot: &Plot, borders: &[f64]) -> Result<String, Box<dyn std::error::Error>> {
    let (count, (low, high)) = (plot.values[0].len(), plot.range);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(0.5..count as f64 + 0.5, low..high)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style(("sans-serif", 15))
            .x_desc("epoch")
            .y_desc(plot.axis)
            .x_labels(count.min(10))
            .x_label_formatter(&|x| {
                if (x - x.round()).abs() < 0.01 { format!("{x:.0}") } else { String::new() }
            })
            .y_labels(6)
            .y_label_formatter(&|y| format!("{y:.2}"))
            .draw()?;
        for &x in borders {
            chart.draw_series([PathElement::new(vec![(x, low), (x, high)], AXIS.stroke_width(1))])?;
        }
        for (values, ink) in plot.values.iter().zip([TRAINED, HELD_OUT]) {
            let points = values.iter().enumerate().map(|(i, &v)| (i as f64 + 1.0, v));
            let points: Vec<(f64, f64)> = points.filter(|(_, v)| v.is_finite()).collect();
            if count <= MARKED {
                chart.draw_series(points.iter().map(|&point| Circle::new(point, 2, ink.filled())))?;
            }
            chart.draw_series(LineSeries::new(points, ink.stroke_width(2)))?;
        }
        area.present()?;
    }
    Ok(svg)
}
