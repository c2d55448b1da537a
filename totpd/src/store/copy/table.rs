//! The tables of a store, as both databases have them.

/// A table whose rows are copied one by one. Single values are apart: see
/// [`CopyEnd::values`](super::CopyEnd::values).
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Table {
    /// Its name.
    pub(in crate::store) name: &'static str,
    /// Its columns. The first is the key.
    pub(in crate::store) columns: &'static [&'static str],
    /// Whether rows are read in the order in which they were made, which the key does not tell.
    pub(in crate::store) in_order_of_making: bool,
}

/// Every table, in an order in which rows come after those that they refer to.
pub(in crate::store) static TABLES: [Table; 5] = [
    Table {
        name: "account",
        columns: &[
            "id",
            "name",
            "version",
            "uid",
            "created",
            "email",
            "email_id",
            "phone",
            "phone_id",
            "awaits",
            "active_totp",
            "second_totp",
            "third_totp",
            "pending_totp",
            "pending_until",
            "locked_until",
            "ticket_until",
            "record",
        ],
        in_order_of_making: false,
    },
    Table { name: "history", columns: &["seq", "at", "name", "event"], in_order_of_making: false },
    Table {
        name: "session",
        columns: &["id", "account", "version", "token", "expires", "record"],
        in_order_of_making: true,
    },
    Table { name: "client", columns: &["secret_id", "name", "record"], in_order_of_making: true },
    Table { name: "signing_key", columns: &["id", "created", "record"], in_order_of_making: false },
];

impl Table {
    /// The name of the key's column.
    pub(in crate::store) fn key(&self) -> &'static str {
        self.columns.first().copied().unwrap_or_default()
    }
}

/// A value of a row.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::store) enum Cell {
    /// None.
    Null,
    /// A number, a moment, or 0 and 1 for no and yes.
    Number(i64),
    /// A text.
    Text(String),
}

impl std::fmt::Debug for Cell {
    /// Without the value, which may be a secret's record.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Number(_) => "Number",
            Self::Text(_) => "Text",
        })
    }
}

/// A row: its columns, in the order of [`Table::columns`], and the place from which the next page
/// is read.
#[derive(Clone, Debug)]
pub(in crate::store) struct Row {
    /// The columns.
    pub(in crate::store) cells: Vec<Cell>,
    /// The key, or the number by which the rows of this end are ordered. Both ends number
    /// differently.
    pub(in crate::store) place: Cell,
}
