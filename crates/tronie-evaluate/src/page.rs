//! An evaluation, and one HTML file that shows it without anything from elsewhere.

mod plots;

use serde::Serialize;

use crate::{Confusion, Distribution, Diversity, Estimate, Identity, Memorisation, Resampling, SsimMatrix};

/// Everything that was measured about a set of pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// What the set is called.
    pub name: String,
    /// Its pictures.
    pub n_pictures: usize,
    /// What the features are, such as the network of embeddings or the name of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// How the intervals were made.
    pub resampling: Resampling,
    /// What to know before a number is believed.
    pub warnings: Vec<String>,
    /// The set against a reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// How different its pictures are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// The set against what its model was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memorisation: Option<Memorisation>,
    /// Rates of recognition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What was asked for against what was measured.
    pub confusions: Vec<Confusion>,
    /// Similarities of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssim: Option<SsimMatrix>,
}

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6570; --line: #d5dae0; --paper: #ffffff; --mark: #1c6fb5; --warn: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --dim: #9aa4af; --line: #39424c; --paper: #15181c; --mark: #63b0f0; --warn: #e0b050 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr + tr td { border-top: 1px solid var(--line) }
.dim { color: var(--dim) } .warn { color: var(--warn) } .scroll { overflow-x: auto }
svg { max-width: 100%; height: auto } svg text { fill: var(--ink); font: 12px system-ui, sans-serif } svg .axis { stroke: var(--line) } svg .mark { fill: var(--mark); stroke: var(--mark) }";

/// The page of an evaluation.
#[must_use]
pub fn page(evaluation: &Evaluation) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{0}</title>\n<style>\n{STYLE}\n</style>\n<h1>{0}</h1>\n",
        escaped(&evaluation.name)
    );
    let features =
        evaluation.features.as_ref().map(|name| format!(", features: {}", escaped(name))).unwrap_or_default();
    let Resampling { n, seed } = evaluation.resampling;
    html += &format!(
        "<p>{} pictures{features}. <span class=\"dim\">Intervals hold the true value with a confidence of 95 %; they are made of {n} \
         resamples, seed {seed}, that of the Vendi score by leaving parts out.</span></p>\n",
        evaluation.n_pictures
    );
    if !evaluation.warnings.is_empty() {
        let items: String =
            evaluation.warnings.iter().map(|text| format!("<li>{}</li>\n", escaped(text))).collect();
        html += &format!("<h2 class=\"warn\">Before you believe the numbers</h2>\n<ul>\n{items}</ul>\n");
    }
    html += &evaluation.distribution.as_ref().map(distribution).unwrap_or_default();
    html += &evaluation.diversity.as_ref().map(diversity).unwrap_or_default();
    html += &evaluation.memorisation.as_ref().map(memorisation).unwrap_or_default();
    html += &evaluation.identity.as_ref().map(identity).unwrap_or_default();
    html += &evaluation.confusions.iter().map(confusion).collect::<String>();
    html += &evaluation.ssim.as_ref().map(ssim).unwrap_or_default();
    html + "</html>\n"
}

/// A text that is no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A table whose first column is text and whose others are numbers.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>, tag: &str| {
        let cells = cells.into_iter().enumerate().map(|(column, cell)| {
            let class = if column == 0 { "" } else { " class=\"n\"" };
            format!("<{tag}{class}>{}</{tag}>", escaped(cell))
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let mut html = format!("<div class=\"scroll\"><table>\n{}", line(head.to_vec(), "th"));
    for row in rows {
        html += &line(row.iter().map(String::as_str).collect(), "td");
    }
    html + "</table></div>\n"
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.1}") } else { format!("{value:.4}") }
}

fn interval(estimate: &Estimate) -> String {
    estimate.interval.map_or_else(
        || "not computed".to_owned(),
        |ends| format!("{} to {}", number(ends.low), number(ends.high)),
    )
}

fn estimates(rows: &[(&str, &Estimate)]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, estimate)| {
            vec![(*name).to_owned(), number(estimate.value), interval(estimate), estimate.n.to_string()]
        })
        .collect();
    table(&["", "value", "interval", "pictures"], &rows)
}

fn distribution(found: &Distribution) -> String {
    let rows = [
        ("FID", &found.fid),
        ("KID", &found.kid),
        ("precision: how real", &found.precision),
        ("recall: how much is covered", &found.recall),
    ];
    format!(
        "<h2>Against a reference</h2>\n<p>{} pictures and {} of the reference, {} features each.</p>\n{}<p class=\"dim\">A small sample raises \
         FID; its interval takes that out, and can lie below the value.</p>\n",
        found.n,
        found.n_reference,
        found.width,
        estimates(&rows)
    )
}

fn diversity(found: &Diversity) -> String {
    let rows = [("mean distance (1 - cosine)", &found.mean_distance), ("Vendi score", &found.vendi)];
    format!(
        "<h2>Diversity</h2>\n{}<p class=\"dim\">The Vendi score is the number of pictures without anything in common that would be as \
         diverse.</p>\n",
        estimates(&rows)
    )
}

fn memorisation(found: &Memorisation) -> String {
    let rows = [
        ("nearer to a training picture than any other of them is", &found.repeated),
        ("cosine of the nearest training picture", &found.nearest_cosine),
    ];
    let nearest: Vec<Vec<String>> = found
        .nearest
        .iter()
        .map(|pair| {
            vec![pair.picture.clone(), pair.training.clone(), number(pair.cosine), number(pair.own_cosine)]
        })
        .collect();
    format!(
        "<h2>Memorisation</h2>\n{}{}<h3>Nearest pairs</h3>\n{}",
        estimates(&rows),
        plots::histogram(&found.cosines, "cosine of each picture and the nearest training picture"),
        table(&["picture", "training picture", "cosine", "that one's own nearest"], &nearest)
    )
}

fn identity(found: &Identity) -> String {
    let all = (String::from("all"), &found.all);
    let prompts = found.prompts.iter().map(|row| (row.prompt.clone(), row));
    let rates: Vec<(String, &crate::PromptRate)> = prompts.chain([all]).collect();
    let rows: Vec<Vec<String>> = rates
        .iter()
        .map(|(name, row)| {
            let distance = row.mean_distance.map(number).unwrap_or_default();
            let counts = [row.n_pictures.to_string(), row.n_without_face.to_string()];
            let [n, without] = counts;
            vec![name.clone(), number(row.rate.value), interval(&row.rate), distance, n, without]
        })
        .collect();
    let points: Vec<(String, Estimate)> = rates.iter().map(|(name, row)| (name.clone(), row.rate)).collect();
    format!(
        "<h2>Identity</h2>\n<p>Share of pairs with {} pictures of the person at a distance of at most {} ({}).</p>\n{}{}",
        found.n_references,
        found.threshold,
        escaped(&found.network),
        plots::estimates(&points, "share of pairs taken for one person"),
        table(&["prompt", "rate", "interval", "mean distance", "pictures", "without face"], &rows)
    )
}

fn confusion(found: &Confusion) -> String {
    let agreement = found.agreement.as_ref().map(|agreement| {
        format!(
            "<p>{} of {} measured pictures show what was asked for ({}).</p>\n",
            number(agreement.value),
            agreement.n,
            interval(agreement)
        )
    });
    let shares: Vec<Vec<f64>> = found
        .counts
        .iter()
        .map(|row| row.iter().map(|count| *count as f64 / row.iter().sum::<usize>().max(1) as f64).collect())
        .collect();
    let labels: Vec<Vec<String>> =
        found.counts.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
    let unmeasured: usize = found.n_unmeasured.iter().sum();
    format!(
        "<h2>Asked and measured: {}</h2>\n{}{}<p class=\"dim\">Rows: asked for; columns: measured; color: share of the row. Not \
         measured: {unmeasured} pictures.</p>\n",
        escaped(&found.attribute),
        agreement.unwrap_or_default(),
        plots::matrix((&found.asked, &found.measured), &shares, &labels)
    )
}

fn ssim(found: &SsimMatrix) -> String {
    let n = found.names.len();
    let labels: Vec<Vec<String>> = if n > 20 {
        vec![vec![String::new(); n]; n]
    } else {
        found.values.iter().map(|row| row.iter().map(|value| format!("{value:.2}")).collect()).collect()
    };
    let settings = crate::SsimSettings::ALL.into_iter().find(|(_, settings)| *settings == found.settings);
    format!(
        "<h2>Structural similarity</h2>\n<p>Mean of {} pairs: {} (settings: {}).</p>\n{}",
        n * n.saturating_sub(1) / 2,
        number(found.mean),
        settings.map(|(id, _)| id).unwrap_or_default(),
        plots::matrix((&found.names, &found.names), &found.values, &labels)
    )
}

#[cfg(test)]
mod tests;
