//! The report as text.

use super::{Audit, CellAudit, Divergence, Interval, JointAudit, Stop, Three};
use crate::report::table;

/// Combinations of values in the text; `summary.json` has all.
const MAX_COMBINATIONS: usize = 60;

impl Audit {
    /// Tables in Markdown: cells, reasons, confusion of every attribute, and how attributes hang together.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "\n{} candidates were made for {} places; {} are kept. Intervals hold the true rate in 95 of 100 cases (Wilson).\n",
            self.n_candidates,
            self.cells.iter().map(|cell| cell.n_asked).sum::<u64>(),
            self.n_kept
        );
        let head = ["group", "cell", "asked", "made", "kept", "rate", "ended"];
        text.push_str(&table(
            "Cells, asked for and verified",
            head.map(str::to_owned),
            self.cells.iter().map(cell),
        ));
        let reasons = self.reasons.iter().map(|(rule, n)| [rule.clone(), n.to_string()]);
        text.push_str(&table(
            "Why candidates are not kept",
            ["rule", "candidates"].map(str::to_owned),
            reasons,
        ));
        for attribute in &self.attributes {
            let title = format!("{} asked for, measured by {}", attribute.attribute, attribute.measure);
            let mut head = vec!["asked".to_owned(), "n".to_owned()];
            head.extend(attribute.columns.iter().cloned());
            head.push("right".to_owned());
            let rows = attribute.rows.iter().map(|row| {
                let mut cells = vec![row.asked.clone(), row.n.to_string()];
                cells.extend(row.found.iter().map(u64::to_string));
                cells.push(interval(row.right));
                cells
            });
            text.push_str(&table(&title, head, rows));
            text.push_str(&format!("\n{}\n", divergence(attribute.divergence)));
        }
        if let Some(joint) = &self.joint {
            text.push_str(&joint_text(joint));
        }
        let three = |Three { asked, first_attempts, kept }: Three| {
            [asked, first_attempts, kept].map(number).join(" / ")
        };
        let pairs = self
            .pairs
            .iter()
            .map(|pair| [pair.attributes.join(", "), three(pair.mutual_information), three(pair.cramers_v)]);
        let head = ["attributes", "mutual information, bits: asked / first attempts / kept", "Cramér's V"];
        text.push_str(&table("Stereotypes", head.map(str::to_owned), pairs));
        text
    }
}

fn cell(cell: &CellAudit) -> [String; 7] {
    let stop = match cell.stop {
        Stop::Full => "full",
        Stop::Attempts => "attempts used up",
        Stop::Hopeless => "given up: surely too few pass",
    };
    let counts = [cell.n_asked, cell.n_made, cell.n_kept].map(|n| n.to_string());
    let [asked, made, kept] = counts;
    [cell.group.clone(), cell.name.clone(), asked, made, kept, interval(cell.rate), stop.to_owned()]
}

fn joint_text(joint: &JointAudit) -> String {
    let mut head = joint.attributes.clone();
    head.extend(["asked", "first attempts", "kept"].map(str::to_owned));
    let rows = joint.rows.iter().take(MAX_COMBINATIONS).map(|row| {
        let mut cells = row.values.clone();
        cells.extend([row.n_asked, row.n_first_attempts, row.n_kept].map(|n| n.to_string()));
        cells
    });
    let mut text = table("Combinations, as asked for and as measured", head, rows);
    let Three { asked, first_attempts, kept } = joint.dependence;
    text.push_str(&format!(
        "\n{} combinations; {} places, {} first attempts with a face and {} kept pictures. {} Total correlation in bits (0 for independent attributes): {} asked for, {} first attempts, {} kept.\n",
        joint.rows.len(),
        joint.n_asked,
        joint.n_first_attempts,
        joint.n_kept,
        divergence(joint.divergence),
        number(asked),
        number(first_attempts),
        number(kept)
    ));
    text
}

fn divergence(Divergence { first_attempts, kept }: Divergence) -> String {
    format!(
        "Jensen-Shannon divergence from what was asked for, in bits (0 the same, 1 nothing in common): {} first attempts, {} kept.",
        number(first_attempts),
        number(kept)
    )
}

/// `50.0 % (23.7 to 76.3)`.
fn interval(Interval { value, low, high }: Interval) -> String {
    format!("{:.1} % ({:.1} to {:.1})", 100.0 * value, 100.0 * low, 100.0 * high)
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}
