//! Which modules stand where: of those with neurons a bar a cycle at each site (the paper's figure 5), of others a mark.

use std::fmt::Write;

use super::html::section as part;
use super::story::Story;
use crate::backbone::{Form, Place, Site};

/// Height of the widest bar, pixels.
const HEIGHT: f64 = 90.0;
/// Height of a row without bars, pixels.
const LOW: f64 = 14.0;
/// Room between two rows, pixels.
const BETWEEN: f64 = 40.0;
/// The same between rows without bars, pixels.
const CLOSE: f64 = 16.0;
/// Width of the map, where the blocks leave it that, pixels.
const WIDTH: f64 = 1020.0;
/// Width of what names the rows, pixels.
const MARGIN: f64 = 92.0;

/// The map.
pub(super) fn section(story: &Story<'_>) -> String {
    let cycles = &story.history.cycles;
    if cycles.is_empty() {
        return String::new();
    }
    let map = format!("<div class=\"wide\">{}</div>\n", map(story));
    if cycles.iter().any(|cycle| cycle.neurons > 0) && cycles.len() > 1 {
        let lead = "Neurons of the module at each site after each training, from the first (left, pale) to the last \
                    (right, full); the number is what the last one has, a cross a removed module, a dash a site that \
                    never had one.";
        return part("Surviving neurons", lead, &map);
    }
    let lead = "What is changed in which block: a bar with its number for a module with so many neurons, γβ for a scale \
                and a shift of each channel, δ for a shift alone, a dash for nothing.";
    part("Modules", lead, &map)
}

/// Widths at a site, training after training.
fn widths(story: &Story<'_>, site: Site) -> Vec<usize> {
    let name = site.to_string();
    story.history.cycles.iter().map(|cycle| cycle.widths.get(&name).copied().unwrap_or(0)).collect()
}

/// A place that some block is changed at.
struct Row {
    place: Place,
    /// Where its bars stand on.
    base: f64,
    /// Whether there are any.
    has_bars: bool,
}

/// The places that are changed in this pack, or were before a pruning, in order of computation.
fn rows(story: &Story<'_>) -> Vec<Row> {
    let named = story.history.cycles.iter().flat_map(|cycle| cycle.widths.keys());
    let wide: Vec<Place> = named.filter_map(|name| Site::parse(name)).map(|site| site.place).collect();
    let (mut rows, mut base) = (Vec::new(), 0.0);
    for place in Place::ALL {
        let has_bars = wide.contains(&place);
        if has_bars || story.modules.iter().any(|module| module.site.place == place) {
            base += if has_bars { HEIGHT + BETWEEN } else { LOW + CLOSE };
            rows.push(Row { place, base: base - 8.0, has_bars });
        }
    }
    rows
}

fn name(place: Place) -> &'static str {
    match place {
        Place::Attn => "attention",
        Place::Mlp => "MLP",
        other => other.as_str(),
    }
}

fn map(story: &Story<'_>) -> String {
    let (depth, count) = (story.config.depth(), story.history.cycles.len());
    let room = ((WIDTH - MARGIN) / depth as f64).clamp(34.0, 80.0);
    let bar = ((room - 12.0) / count as f64).clamp(3.0, 14.0);
    let cell = room.max(bar * count as f64 + 12.0);
    let rows = rows(story);
    let (width, end) = (MARGIN + cell * depth as f64, rows.last().map_or(0.0, |row| row.base + 8.0));
    let mut svg = format!(
        "<svg width=\"{width:.0}\" height=\"{0:.0}\" viewBox=\"0 0 {width:.0} {0:.0}\" role=\"img\" font-size=\"12\">\n",
        end + 24.0
    );
    for Row { place, base, has_bars } in rows {
        let middle = base - if has_bars { HEIGHT } else { LOW - 8.0 } / 2.0;
        let _ = writeln!(svg, "<text x=\"0\" y=\"{middle:.0}\">{}</text>", name(place));
        let _ = writeln!(
            svg,
            "<line x1=\"{MARGIN}\" y1=\"{base}\" x2=\"{width:.0}\" y2=\"{base}\" stroke=\"var(--line)\"/>"
        );
        for block in 0..depth {
            let at = Cell { x: MARGIN + cell * block as f64, base, cell, bar };
            site(&mut svg, &at, story, Site::new(block, place));
        }
    }
    number(&mut svg, depth, cell, end + 12.0);
    svg
}

/// The blocks' numbers under their columns.
fn number(svg: &mut String, depth: usize, cell: f64, y: f64) {
    for block in 0..depth {
        let x = MARGIN + cell * (block as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<text class=\"quiet\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{block}</text>"
        );
    }
    let _ = writeln!(svg, "<text class=\"quiet\" x=\"0\" y=\"{y}\">block</text>\n</svg>");
}

/// A site: its bars, or the mark of a module without neurons.
fn site(svg: &mut String, at: &Cell, story: &Story<'_>, site: Site) {
    let widths = widths(story, site);
    let own = story.modules.iter().filter(|module| module.site == site).map(|module| module.form);
    let mark = own.filter(|form| !form.has_width()).map(|form| match form {
        Form::Affine => "γβ",
        _ => "δ",
    });
    match mark.last().filter(|_| widths.iter().all(|&width| width == 0)) {
        None => {
            let all = story.history.cycles.iter().flat_map(|cycle| cycle.widths.values());
            draw(svg, at, (site, all.copied().max().unwrap_or(1).max(1)), &widths);
        }
        Some(mark) => {
            let (x, y) = (at.x + at.cell / 2.0, at.base - 3.0);
            let _ = writeln!(
                svg,
                "<g><title>{site}: {mark}</title><text class=\"left\" x=\"{x:.1}\" y=\"{y:.1}\" \
                 text-anchor=\"middle\">{mark}</text></g>"
            );
        }
    }
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
