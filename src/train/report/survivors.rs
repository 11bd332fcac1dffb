//! Which neurons survived where (the paper's figure 5): a bar a cycle at each site.

use std::fmt::Write;

use super::html::section as part;
use super::story::Story;
use crate::backbone::{Place, Site};

/// Height of the widest bar, pixels.
const HEIGHT: f64 = 90.0;
/// Width of the map, where the blocks leave it that, pixels.
const WIDTH: f64 = 1020.0;
/// Width of what names the rows, pixels.
const MARGIN: f64 = 78.0;

/// The map.
pub(super) fn section(story: &Story<'_>) -> String {
    if story.history.cycles.is_empty() {
        return String::new();
    }
    let lead = "Neurons of the adapter at each site after each training, from the first (left, pale) to the last \
                (right, full); the number is what the last one has, a cross a removed adapter, a dash a site that \
                never had one.";
    part("Surviving neurons", lead, &format!("<div class=\"wide\">{}</div>\n", map(story)))
}

/// Widths at a site, training after training.
fn widths(story: &Story<'_>, site: Site) -> Vec<usize> {
    let name = site.to_string();
    story.history.cycles.iter().map(|cycle| cycle.widths.get(&name).copied().unwrap_or(0)).collect()
}

fn map(story: &Story<'_>) -> String {
    let (depth, count) = (story.config.depth(), story.history.cycles.len());
    let room = ((WIDTH - MARGIN) / depth as f64).clamp(34.0, 80.0);
    let bar = ((room - 12.0) / count as f64).clamp(3.0, 14.0);
    let cell = room.max(bar * count as f64 + 12.0);
    let widest =
        story.history.cycles.iter().flat_map(|c| c.widths.values()).copied().max().unwrap_or(1).max(1);
    let (width, row) = (MARGIN + cell * depth as f64, HEIGHT + 40.0);
    let mut svg = format!(
        "<svg width=\"{width:.0}\" height=\"{0:.0}\" viewBox=\"0 0 {width:.0} {0:.0}\" role=\"img\" font-size=\"12\">\n",
        2.0 * row + 24.0
    );
    for (index, (place, name)) in [(Place::Attn, "attention"), (Place::Mlp, "MLP")].into_iter().enumerate() {
        let base = row * (index + 1) as f64 - 8.0;
        let _ = writeln!(svg, "<text x=\"0\" y=\"{:.0}\">{name}</text>", base - HEIGHT / 2.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{MARGIN}\" y1=\"{base}\" x2=\"{width:.0}\" y2=\"{base}\" stroke=\"var(--line)\"/>"
        );
        for block in 0..depth {
            let site = Site::new(block, place);
            let place = Cell { x: MARGIN + cell * block as f64, base, cell, bar };
            draw(&mut svg, &place, (site, widest), &widths(story, site));
        }
    }
    for block in 0..depth {
        let x = MARGIN + cell * (block as f64 + 0.5);
        let y = 2.0 * row + 12.0;
        let _ = writeln!(
            svg,
            "<text class=\"quiet\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{block}</text>"
        );
    }
    let _ = writeln!(svg, "<text class=\"quiet\" x=\"0\" y=\"{}\">block</text>\n</svg>", 2.0 * row + 12.0);
    svg
}

/// Where a site's bars stand.
struct Cell {
    x: f64,
    base: f64,
    cell: f64,
    bar: f64,
}

fn draw(svg: &mut String, at: &Cell, (site, widest): (Site, usize), widths: &[usize]) {
    let way: Vec<String> = widths.iter().map(usize::to_string).collect();
    let _ = writeln!(svg, "<g><title>{site}: {}</title>", way.join(" → "));
    let left = at.x + (at.cell - at.bar * widths.len() as f64) / 2.0;
    let mut top: f64 = 0.0;
    for (index, &width) in widths.iter().enumerate() {
        let height = HEIGHT * width as f64 / widest as f64;
        top = top.max(height);
        let shade = 0.25 + 0.75 * (index + 1) as f64 / widths.len() as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"var(--trained)\" \
             fill-opacity=\"{shade:.2}\"/>",
            left + at.bar * index as f64,
            at.base - height,
            at.bar - 1.0
        );
    }
    let last = widths.last().copied().unwrap_or(0);
    let (sign, class) = match (top > 0.0, last) {
        (false, _) => ("–".to_owned(), "quiet"),
        (true, 0) => ("×".to_owned(), "gone"),
        (true, some) => (some.to_string(), "left"),
    };
    let ink = if class == "gone" { " style=\"fill:var(--bad);font-weight:700;font-size:15px\"" } else { "" };
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\"{ink}>{sign}</text></g>",
        at.x + at.cell / 2.0,
        at.base - top - 5.0
    );
}
