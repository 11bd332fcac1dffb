//! Which classes are taken for which.

use std::fmt::Write;

use super::html::{details, escape, percent, section as part, table};
use super::story::Story;

/// Maximum number of classes with a matrix; beyond it, the page lists only pairs.
const DRAWN: usize = 250;
/// Maximum number of classes with names at the matrix.
const NAMED: usize = 60;
/// Maximum number of classes with counts in the matrix.
const COUNTED: usize = 24;
/// Most pairs that are listed.
const PAIRS: usize = 12;
/// Most letters of a name at the matrix.
const LETTERS: usize = 22;

/// Matrix, pairs and classes.
pub(super) fn section(story: &Story<'_>) -> String {
    let classes = story.labels.len();
    let mut body = String::new();
    if classes <= DRAWN {
        let _ = write!(body, "<div class=\"wide\">{}</div>\n{}", matrix(story), pairs(story));
    } else {
        body = pairs(story);
    }
    let by_class = by_class(story);
    body.push_str(&if classes <= COUNTED {
        format!("<h3>Class by class</h3>\n{by_class}")
    } else {
        details(&format!("All {classes} classes"), &by_class)
    });
    let lead = "Held-out images. A row is what an image shows, a column what it was taken for; the shade is the \
                share of the row.";
    part("Confusion", lead, &body)
}

/// Sizes of the matrix, pixels.
struct Sizes {
    cell: f64,
    left: f64,
    top: f64,
}

impl Sizes {
    fn of(story: &Story<'_>) -> Self {
        let classes = story.labels.len();
        let cell = if classes <= COUNTED { 30.0 } else { (900.0 / classes as f64).clamp(4.0, 15.0) };
        let longest = story.labels.iter().map(|label| label.chars().count().min(LETTERS)).max().unwrap_or(0);
        let names = if classes <= NAMED { 7.0 * longest as f64 + 12.0 } else { 14.0 };
        Self { cell, left: names, top: 0.75 * names + 12.0 }
    }
}

fn matrix(story: &Story<'_>) -> String {
    let (classes, sizes) = (story.labels.len(), Sizes::of(story));
    let side = sizes.cell * classes as f64;
    let (width, height) = (sizes.left + side + sizes.top, sizes.top + side + 6.0);
    let mut svg = format!(
        "<svg width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         font-size=\"12\">\n<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" \
         fill=\"var(--panel)\"/>\n",
        sizes.left, sizes.top
    );
    if classes <= NAMED {
        (0..classes).for_each(|class| names(&mut svg, &sizes, (class, &story.labels[class])));
    }
    let totals = totals(story);
    for (&(truth, taken), &count) in &story.examined.confusion {
        cell(&mut svg, &sizes, story, &Cell { truth, taken, count, of: totals[truth].shown });
    }
    svg.push_str("</svg>\n");
    svg
}

fn names(svg: &mut String, sizes: &Sizes, (class, label): (usize, &str)) {
    let short: String = match label.chars().count() > LETTERS {
        true => label.chars().take(LETTERS - 1).chain(['…']).collect(),
        false => label.to_owned(),
    };
    let (middle, short) = (sizes.cell * (class as f64 + 0.5), escape(short));
    let (x, y) = (sizes.left - 6.0, sizes.top + middle + 4.0);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{short}</text>");
    let (x, y) = (sizes.left + middle + 3.0, sizes.top - 6.0);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" transform=\"rotate(-45 {x:.1} {y:.1})\">{short}</text>"
    );
}

/// A cell of the matrix.
struct Cell {
    /// Class of the images.
    truth: usize,
    /// Class they were taken for.
    taken: usize,
    /// How many.
    count: usize,
    /// Images of their class.
    of: usize,
}

fn cell(svg: &mut String, sizes: &Sizes, story: &Story<'_>, cell: &Cell) {
    let &Cell { truth, taken, count, of } = cell;
    let share = count as f64 / of.max(1) as f64;
    let (x, y) = (sizes.left + sizes.cell * taken as f64, sizes.top + sizes.cell * truth as f64);
    let ink = if truth == taken { "var(--good)" } else { "var(--bad)" };
    let (shade, size) = (0.18 + 0.82 * share, sizes.cell - if sizes.cell > 8.0 { 1.0 } else { 0.0 });
    let (shows, seen) = (escape(&story.labels[truth]), escape(&story.labels[taken]));
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{size:.1}\" height=\"{size:.1}\" fill=\"{ink}\" \
         fill-opacity=\"{shade:.2}\"><title>{shows} taken for {seen}: {count} of {of}</title></rect>"
    );
    if story.labels.len() <= COUNTED {
        // On a full cell the page's ground is the ink that can be read, in light and dark.
        let text = if shade > 0.55 { "var(--ground)" } else { "var(--ink)" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" style=\"fill:{text};pointer-events:none\">{count}\
             </text>",
            x + size / 2.0,
            y + size / 2.0 + 4.0
        );
    }
}

/// How often a class occurs.
#[derive(Clone, Copy, Default)]
struct Total {
    /// Images that show it.
    shown: usize,
    /// Images taken for it.
    taken: usize,
}

fn totals(story: &Story<'_>) -> Vec<Total> {
    let mut totals = vec![Total::default(); story.labels.len()];
    for (&(truth, taken), count) in &story.examined.confusion {
        totals[truth].shown += count;
        totals[taken].taken += count;
    }
    totals
}

fn pairs(story: &Story<'_>) -> String {
    let wrong = story.examined.confusion.iter().filter(|((truth, taken), _)| truth != taken);
    let mut wrong: Vec<_> = wrong.map(|(&pair, &count)| (count, pair)).collect();
    if wrong.is_empty() {
        return "<p>No held-out image was taken for another class.</p>\n".into();
    }
    wrong.sort_by_key(|&(count, pair)| (std::cmp::Reverse(count), pair));
    let totals = totals(story);
    let rows = wrong.iter().take(PAIRS).map(|&(count, (truth, taken))| {
        vec![
            format!("{} taken for {}", escape(&story.labels[truth]), escape(&story.labels[taken])),
            format!("{count} of {}", totals[truth].shown),
        ]
    });
    let table = table(&["most frequent errors", "images"], &rows.collect::<Vec<_>>());
    format!("<h3>Most frequent errors</h3>\n{table}")
}

fn by_class(story: &Story<'_>) -> String {
    let totals = totals(story);
    let rows =
        story.labels.iter().zip(&totals).enumerate().map(|(class, (label, &Total { shown, taken }))| {
            let right = story.examined.confusion.get(&(class, class)).copied().unwrap_or(0);
            let share = |of: usize| if of == 0 { "–".into() } else { percent(right as f64 / of as f64) };
            vec![escape(label), shown.to_string(), share(shown), share(taken)]
        });
    table(&["class", "images", "recall", "precision"], &rows.collect::<Vec<_>>())
}
