//! The report of an import: a line for each entry, and the sums.

use crate::cli::output::{CommandError, Output};
use crate::clock::rfc3339;
use crate::import::entry::Factor;
use crate::local_time::{local, local_second};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use totp_core::{Params, Time};
use totp_wire::SecretText;
use totp_wire::admin::{ImportReply, State};

/// What became of an entry.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was taken over, or would be.
    Imported(ImportReply),
    /// The user has a factor.
    Skipped(String),
    /// It cannot be taken over, for this reason.
    Refused(String),
}

/// Whether an import changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Real,
    Dry,
}

/// Whether the new recovery codes are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewCodes {
    Shown,
    Kept,
}

/// One entry.
#[derive(Debug)]
pub(super) struct Row {
    /// The user, if the entry names one that the system knows.
    user: Option<String>,
    source: String,
    line: Option<usize>,
    outcome: Outcome,
    params: Option<Params>,
    scratch_codes: usize,
    notes: Vec<String>,
    new_codes: NewCodes,
}

/// The report as JSON.
#[derive(Serialize)]
struct Document<'a> {
    dry_run: bool,
    imported: usize,
    skipped: usize,
    refused: usize,
    without_file: usize,
    entries: Entries<'a>,
}

/// The entries, of which one at a time becomes a document: half a million would fill a gigabyte.
struct Entries<'a>(&'a [Row]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Row::document))
    }
}

/// What became of all entries.
#[derive(Debug)]
pub(super) struct Report {
    run: Run,
    rows: Vec<Row>,
    without_file: usize,
}

impl Run {
    /// What the report says of a factor.
    const fn verb(self) -> &'static str {
        match self {
            Self::Real => "imported",
            Self::Dry => "would be imported",
        }
    }
}

impl Row {
    pub(super) fn new(user: Option<String>, source: String, line: Option<usize>, outcome: Outcome) -> Self {
        let (notes, new_codes) = (Vec::new(), NewCodes::Kept);
        Self { user, source, line, outcome, params: None, scratch_codes: 0, notes, new_codes }
    }

    /// Adds what the factor is like, without its secret.
    pub(super) fn describe(&mut self, factor: &Factor, new_codes: NewCodes) {
        self.params = Some(factor.params);
        self.scratch_codes = factor.scratch_codes;
        self.notes = factor.notes.iter().map(ToString::to_string).collect();
        self.new_codes = new_codes;
    }

    fn text(&self, run: Run) -> String {
        let place = match self.line {
            Some(line) => format!("line {line} of {}", self.source),
            None => self.source.clone(),
        };
        let who = self.user.as_ref().map_or_else(|| place.clone(), Clone::clone);
        match &self.outcome {
            Outcome::Imported(reply) => {
                let done = run.verb();
                let state = match (reply.state, reply.expires_at) {
                    (State::Active, _) => "and works at once".to_owned(),
                    (_, Some(at)) => {
                        format!("and waits for its first code until {}", local(Time::from_unix(at)))
                    }
                    (_, None) => "and waits for its first code".to_owned(),
                };
                format!(
                    "{who}: {done} from {place} ({}), {state}",
                    self.params.map(shape).unwrap_or_default()
                )
            }
            Outcome::Skipped(why) => format!("{who}: skipped {place}: {why}"),
            Outcome::Refused(why) if self.user.is_none() => format!("{place}: refused: {why}"),
            Outcome::Refused(why) => format!("{who}: refused {place}: {why}"),
        }
    }

    fn document(&self) -> Value {
        let mut row = json!({
            "user": self.user,
            "source": self.source,
            "line": self.line,
            "scratch_codes": self.scratch_codes,
            "notes": self.notes,
        });
        if let Some(Params { algorithm, digits, period }) = self.params {
            row["algorithm"] = algorithm.as_str().into();
            row["digits"] = digits.get().into();
            row["period"] = period.seconds().into();
        }
        match &self.outcome {
            Outcome::Imported(reply) => {
                row["result"] = "imported".into();
                row["state"] = if reply.state == State::Active { "active" } else { "pending" }.into();
                row["totp_id"] = reply.totp_id.clone().into();
                row["expires_at"] = reply.expires_at.map(time).into();
                row["codes_from"] = time(reply.codes_from).into();
                if self.new_codes == NewCodes::Shown {
                    row["recovery_codes"] = reply.recovery_codes.iter().map(SecretText::reveal).collect();
                }
            }
            Outcome::Skipped(why) => {
                row["result"] = "skipped".into();
                row["why"] = why.clone().into();
            }
            Outcome::Refused(why) => {
                row["result"] = "refused".into();
                row["why"] = why.clone().into();
            }
        }
        row
    }

    const fn reply(&self) -> Option<&ImportReply> {
        match &self.outcome {
            Outcome::Imported(reply) => Some(reply),
            Outcome::Skipped(_) | Outcome::Refused(_) => None,
        }
    }
}

impl Report {
    pub(super) const fn new(run: Run) -> Self {
        Self { run, rows: Vec::new(), without_file: 0 }
    }

    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Counts a user who has no file.
    pub(super) const fn absent(&mut self) {
        self.without_file += 1;
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| is(&row.outcome)).count()
    }

    /// How many entries were refused.
    pub(super) fn refused(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Refused(_)))
    }

    /// Prints it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn print(&self, out: Output) -> Result<(), CommandError> {
        let imported = self.count(|outcome| matches!(outcome, Outcome::Imported(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        if out.json {
            return out.json(&Document {
                dry_run: self.run == Run::Dry,
                imported,
                skipped,
                refused: self.refused(),
                without_file: self.without_file,
                entries: Entries(&self.rows),
            });
        }
        for row in &self.rows {
            self.print_row(out, row)?;
        }
        let verb = self.run.verb();
        out.line(format!("\n{imported} {verb}, {skipped} skipped, {} refused", self.refused()))?;
        if self.without_file > 0 {
            out.line(format!("{} users have no such file", self.without_file))?;
        }
        self.advise(out)
    }

    fn print_row(&self, out: Output, row: &Row) -> Result<(), CommandError> {
        out.paragraph(0, row.text(self.run))?;
        for note in &row.notes {
            out.paragraph(4, format!("note: {note}"))?;
        }
        if row.scratch_codes > 0 {
            out.paragraph(4, format!("its {} scratch codes are not taken over", row.scratch_codes))?;
        }
        let codes = row.reply().filter(|_| row.new_codes == NewCodes::Shown);
        for pair in codes.iter().flat_map(|reply| reply.recovery_codes.chunks(2)) {
            let pair: Vec<&str> = pair.iter().map(SecretText::reveal).collect();
            out.line(format!("    {}", pair.join("    ")))?;
        }
        Ok(())
    }

    /// Says what to do next.
    fn advise(&self, out: Output) -> Result<(), CommandError> {
        let codes_from = self.rows.iter().filter_map(|row| Some(row.reply()?.codes_from)).max();
        let Some(codes_from) = codes_from.filter(|_| self.run == Run::Real) else { return Ok(()) };
        out.line(format!(
            "Codes that are shown before {} are refused: they may have been used with the other tool.",
            local_second(Time::from_unix(codes_from))
        ))?;
        if self.rows.iter().any(|row| row.new_codes == NewCodes::Shown) {
            return out.line("The recovery codes above are shown only now, and each works once.");
        }
        let waits = self.rows.iter().filter_map(Row::reply).any(|reply| reply.state == State::Pending);
        let when = if waits { " after the first code" } else { "" };
        out.line(format!(
            "No recovery codes were shown. To make new ones for a user, run{when}: totpd recovery-codes USER"
        ))
    }
}

fn time(seconds: u64) -> String {
    rfc3339(Time::from_unix(seconds))
}

fn shape(Params { algorithm, digits, period }: Params) -> String {
    format!("{}, {} digits, {} s", algorithm.as_str(), digits.get(), period.seconds())
}
