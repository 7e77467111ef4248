//! Plots as SVG, inside of the page.

use crate::Estimate;

use super::escaped;

const WIDTH: f64 = 720.0;
/// Characters of a label that are shown.
const MAX_LABEL: usize = 28;
/// Width of a character of a label, about.
const CHARACTER: f64 = 7.6;
const N_BINS: usize = 20;

fn svg(height: f64, label: &str, content: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n{content}</svg>\n",
        escaped(label)
    )
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escaped(content))
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= MAX_LABEL {
        return label.to_owned();
    }
    // The end of a file's name says more than its beginning.
    let skipped = label.chars().count() + 1 - MAX_LABEL;
    format!("…{}", label.chars().skip(skipped).collect::<String>())
}

fn longest(labels: &[String]) -> f64 {
    labels.iter().map(|label| shortened(label).chars().count()).max().unwrap_or(0) as f64 * CHARACTER
}

/// Shares of 0 to 1 with their intervals, one line each.
pub(super) fn estimates(rows: &[(String, Estimate)], label: &str) -> String {
    const LINE: f64 = 26.0;
    let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let left = longest(&names) + 12.0;
    let place = |value: f64| left + value.clamp(0.0, 1.0) * (WIDTH - left - 24.0);
    let bottom = rows.len() as f64 * LINE + 8.0;
    let mut content = String::new();
    for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let x = place(tenth);
        content +=
            &format!("<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"4\" y2=\"{bottom:.1}\"/>\n");
        content += &text(x, bottom + 16.0, "middle", &tenth.to_string());
    }
    for (index, (name, estimate)) in rows.iter().enumerate() {
        let y = index as f64 * LINE + 18.0;
        content += &text(left - 8.0, y + 4.0, "end", &shortened(name));
        if let Some(ends) = estimate.interval {
            let (low, high) = (place(ends.low), place(ends.high));
            content += &format!(
                "<line class=\"mark\" stroke-width=\"3\" opacity=\".5\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n"
            );
        }
        content +=
            &format!("<circle class=\"mark\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\"/>\n", place(estimate.value));
    }
    content += &text(place(0.5), bottom + 36.0, "middle", label);
    svg(bottom + 44.0, label, &content)
}

/// How often values occur.
pub(super) fn histogram(values: &[f64], label: &str) -> String {
    const HEIGHT: f64 = 160.0;
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    let width = if high > low { (high - low) / N_BINS as f64 } else { 1.0 };
    let mut bins = [0_usize; N_BINS];
    for value in values {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bin among the bins")]
        let bin = (((value - low) / width) as usize).min(N_BINS - 1);
        if let Some(count) = bins.get_mut(bin) {
            *count += 1;
        }
    }
    let tallest = bins.iter().max().copied().unwrap_or(1).max(1) as f64;
    let step = (WIDTH - 48.0) / N_BINS as f64;
    let bar = |(bin, count): (usize, &usize)| {
        let height = *count as f64 / tallest * HEIGHT;
        let (x, y) = (24.0 + bin as f64 * step, HEIGHT + 8.0 - height);
        format!(
            "<rect class=\"mark\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{count}</title></rect>\n",
            step - 2.0
        )
    };
    let mut content: String = bins.iter().enumerate().map(bar).collect();
    content += &text(24.0, HEIGHT + 26.0, "start", &format!("{low:.3}"));
    content += &text(WIDTH - 24.0, HEIGHT + 26.0, "end", &format!("{high:.3}"));
    content += &text(WIDTH / 2.0, HEIGHT + 26.0, "middle", label);
    svg(HEIGHT + 34.0, label, &content)
}

/// A matrix of values of 0 to 1 as colors, with a text in each cell.
pub(super) fn matrix(
    (rows, columns): (&[String], &[String]),
    values: &[Vec<f64>],
    labels: &[Vec<String>],
) -> String {
    let left = longest(rows) + 12.0;
    // The names of columns stand aslant, and the last one needs its place too.
    let right = longest(columns) * 0.75;
    let side = ((WIDTH - left - right) / columns.len().max(1) as f64).min(56.0);
    // Cells without texts have no names either: they would lie upon each other.
    let is_named = side >= 14.0;
    let (left, top) = if is_named { (left, longest(columns) * 0.75 + 16.0) } else { (4.0, 4.0) };
    let height = side.min(32.0);
    let mut content = String::new();
    for (index, name) in columns.iter().enumerate().filter(|_| is_named) {
        let (x, y) = (left + (index as f64 + 0.5) * side, top - 6.0);
        content += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" transform=\"rotate(-45 {x:.1} {y:.1})\">{}</text>\n",
            escaped(&shortened(name))
        );
    }
    for (row, (values, labels)) in values.iter().zip(labels).enumerate() {
        let y = top + row as f64 * height;
        if let Some(name) = rows.get(row).filter(|_| is_named) {
            content += &text(left - 6.0, y + height / 2.0 + 4.0, "end", &shortened(name));
        }
        for (column, (value, label)) in values.iter().zip(labels).enumerate() {
            let x = left + column as f64 * side;
            let opacity = value.clamp(0.0, 1.0) * 0.75 + 0.05;
            content += &format!(
                "<rect class=\"mark\" stroke=\"none\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" opacity=\"{opacity:.2}\"><title>{value:.3}</title></rect>\n",
                side - 1.0,
                height - 1.0
            );
            if side >= 26.0 {
                content += &text(x + side / 2.0, y + height / 2.0 + 4.0, "middle", label);
            }
        }
    }
    svg(top + values.len() as f64 * height + 8.0, "matrix", &content)
}
