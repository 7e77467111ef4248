//! A table of everything known about the pictures, for spreadsheets and pandas.
//!
//! Spreadsheets run cells that begin with `=`, `+`, `-` or `@`, or with a tab or a carriage return before them. Texts that
//! begin so get an apostrophe in front, as OWASP advises (<https://owasp.org/www-community/attacks/CSV_Injection>);
//! numbers do not, or negative ones would turn into texts.

use csv::{QuoteStyle, WriterBuilder};
use tronie_base::Progress;

use super::columns::{Cell, Column, cell, columns};
use super::context::Context;
use super::staging::Staging;
use super::{ExportError, FormatRow};

pub(super) const ROW: FormatRow = FormatRow {
    id: "csv",
    title: "pandas, spreadsheets",
    layout: "`metadata.csv`, whose `file_name` is below the folder; columns of groups are named `group.column`; `train/NAME` and the like",
    needs: None,
    write,
};

const FILE: &str = "metadata.csv";

fn write(
    context: &Context<'_>,
    staging: &mut Staging,
    progress: &mut dyn Progress,
) -> Result<(), ExportError> {
    context.copy_pictures(staging, progress)?;
    let rows = context.rows();
    let columns = columns(&rows);
    let leaves = Column::leaves(&columns);
    let mut writer = WriterBuilder::new().quote_style(QuoteStyle::Necessary).from_writer(Vec::new());
    let mut fill = || {
        writer.write_record(leaves.iter().map(|(path, _)| guarded(path.join("."))))?;
        for row in &rows {
            writer.write_record(leaves.iter().map(|(path, kind)| text(cell(row, path, *kind))))?;
        }
        writer.flush()
    };
    fill().map_err(|source| staging.fail(FILE, source))?;
    let bytes = writer.into_inner().map_err(|error| staging.fail(FILE, error.into_error()))?;
    staging.write(FILE, &bytes)
}

fn text(cell: Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Bool(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Float(value) => value.to_string(),
        Cell::Text(text) => guarded(text),
    }
}

/// A text that no spreadsheet runs.
fn guarded(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_spreadsheet_would_run_are_guarded_and_numbers_are_not() {
        for dangerous in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(text(Cell::Text(dangerous.to_owned())), format!("'{dangerous}"));
        }
        assert_eq!(text(Cell::Text("a = b".to_owned())), "a = b");
        assert_eq!((text(Cell::Float(-1.5)), text(Cell::Integer(-2))), ("-1.5".to_owned(), "-2".to_owned()));
    }
}
