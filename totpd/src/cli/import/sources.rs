//! Where the factors come from: home files of users, files of root, or standard input.

use crate::cli::args::{Import, ImportFormat};
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::folder::Folder;
use crate::import::entry::{Entry, Refusal};
use crate::import::home_file::{self, FileOwner, HomeFileError};
use crate::import::{csv, google_authenticator, otpauth, pam_oath, pskc};
use nix::unistd::User;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file of root's, and the longest standard input, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The most lines of one: each becomes an entry and a row of the report, about 1 KiB.
const MAX_LINES: usize = 500_000;

/// The most entries of one user's file that are looked at: a file of junk must not fill the report.
const MAX_ENTRIES_OF_USER: usize = 16;

/// A user of this host, and the home in which their file is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostUser {
    pub(super) name: String,
    pub(super) owner: FileOwner,
    home: PathBuf,
}

/// Where content is read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A file that is read as the user.
    Home(PathBuf),
    /// A file of root's.
    File(PathBuf),
    StandardInput,
}

/// One argument, or one user of `--all-users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The only user whose factor it may hold. `None`: it names its users.
    pub(super) user: Option<HostUser>,
    place: Place,
    /// Whether it is one of all homes (`--all-users`): a missing file is no mistake, and a user
    /// whose factor was revoked is left alone.
    pub(super) optional: bool,
}

/// What reading a source brought.
pub(super) enum Content {
    /// Its entries.
    Entries(Vec<Entry>),
    /// There is no file, and none was promised.
    Absent,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It was not read in time.
    TimedOut,
}

impl HostUser {
    fn of_name(name: &str) -> Result<Self, CommandError> {
        let user = User::from_name(name).ok().flatten();
        let user = user
            .ok_or_else(|| failed(ExitStatus::Refused, format!("there is no user {name} on this system")))?;
        let owner = FileOwner { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
        Ok(Self { name: user.name, owner, home: user.dir })
    }

    /// Reads a line of `/etc/passwd`.
    fn of_line(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else { return None };
        if name.is_empty() || name.starts_with(['+', '-', '#']) || !home.starts_with('/') || home == "/" {
            return None;
        }
        let owner = FileOwner { uid: uid.parse().ok()?, gid: gid.parse().ok()? };
        Some(Self { name: name.to_owned(), owner, home: home.into() })
    }
}

/// The sources that the command line names.
///
/// # Errors
/// When it names none, or one that cannot be.
pub(super) fn all(args: &Import) -> Result<Vec<Source>, CommandError> {
    let mut sources = Vec::new();
    for text in &args.sources {
        sources.push(one(args, text)?);
    }
    if args.all_users {
        if home_file(args).as_os_str().is_empty() {
            let why = "--all-users needs --home-file, because this format has no usual file in homes";
            return Err(failed(ExitStatus::Usage, why));
        }
        sources.extend(every_home(args)?);
    }
    let home = sources.iter().any(|source| matches!(source.place, Place::Home(_)));
    if home && !nix::unistd::geteuid().is_root() {
        let why = "only root can read the files of other users. Run it as root, or give a file on standard input: \
                   USER=- < FILE";
        return Err(failed(ExitStatus::Usage, why));
    }
    if sources.iter().filter(|source| source.place == Place::StandardInput).count() > 1 {
        return Err(failed(ExitStatus::Usage, "standard input (-) can be one source only"));
    }
    if sources.is_empty() {
        let why = match args.format {
            ImportFormat::GoogleAuthenticator => "name users, or add --all-users",
            _ => "name a file, or - for standard input",
        };
        return Err(failed(ExitStatus::Usage, why));
    }
    Ok(sources)
}

/// `USER=FILE`, `USER=-`, and `USER` where a file holds one user's factor; else `FILE` or `-`.
fn one(args: &Import, text: &str) -> Result<Source, CommandError> {
    let source = |user, place| Source { user, place, optional: false };
    let path = |text: &str| std::path::absolute(text).unwrap_or_else(|_| text.into());
    match text.split_once('=') {
        Some((name, "-")) => Ok(source(Some(HostUser::of_name(name)?), Place::StandardInput)),
        Some((name, file)) => Ok(source(Some(HostUser::of_name(name)?), Place::Home(path(file)))),
        None if args.format == ImportFormat::GoogleAuthenticator => {
            if text.contains('/') || text == "-" {
                let why = format!("such a file names no user. Write USER={text}");
                return Err(failed(ExitStatus::Usage, why));
            }
            let user = HostUser::of_name(text)?;
            let place = Place::Home(user.home.join(home_file(args)));
            Ok(source(Some(user), place))
        }
        None if text == "-" => Ok(source(None, Place::StandardInput)),
        None => Ok(source(None, Place::File(path(text)))),
    }
}

/// The file in each home.
fn home_file(args: &Import) -> &Path {
    let usual = match args.format {
        ImportFormat::GoogleAuthenticator => ".google_authenticator",
        ImportFormat::PamOath => "user.oath",
        ImportFormat::Otpauth | ImportFormat::Csv | ImportFormat::Pskc => "",
    };
    args.home_file.as_deref().unwrap_or(Path::new(usual))
}

/// The home of each user in `/etc/passwd`. Of several names of one uid the first is the user's
/// (getpwuid(3)).
fn every_home(args: &Import) -> Result<Vec<Source>, CommandError> {
    let passwd = std::fs::read_to_string("/etc/passwd");
    let passwd = passwd.map_err(|error| failed(ExitStatus::Refused, format!("/etc/passwd: {error}")))?;
    let mut uids = BTreeSet::new();
    let users = passwd.lines().filter_map(HostUser::of_line).filter(|user| uids.insert(user.owner.uid));
    let source = |user: HostUser| Source {
        place: Place::Home(user.home.join(home_file(args))),
        user: Some(user),
        optional: true,
    };
    Ok(users.map(source).collect())
}

impl Source {
    /// Its name for the report.
    pub(super) fn name(&self) -> String {
        match &self.place {
            Place::Home(path) | Place::File(path) => path.display().to_string(),
            Place::StandardInput => "standard input".to_owned(),
        }
    }

    /// Reads and parses it.
    pub(super) fn read(&self, format: ImportFormat) -> Content {
        let content = match (&self.place, &self.user) {
            (Place::Home(path), Some(user)) => match home_file::read(path, user.owner) {
                Err(HomeFileError::Missing) if self.optional => return Content::Absent,
                Err(HomeFileError::TimedOut) => return Content::TimedOut,
                content => content.map_err(|why| why.to_string()),
            },
            (Place::Home(path) | Place::File(path), _) => read_roots(path),
            (Place::StandardInput, _) => read_bounded(&mut std::io::stdin().lock()),
        };
        // A line of XML is no entry.
        let limit = if format == ImportFormat::Pskc { usize::MAX } else { MAX_LINES };
        let content = content.and_then(|content| few_lines(&content, limit).map(|()| content));
        match content {
            Err(why) => Content::Unreadable(why),
            Ok(content) => Content::Entries(self.own(match format {
                ImportFormat::GoogleAuthenticator => vec![google_authenticator::parse(&content)],
                ImportFormat::PamOath => pam_oath::parse(&content),
                ImportFormat::Otpauth => otpauth::parse(&content),
                ImportFormat::Csv => csv::parse(&content),
                ImportFormat::Pskc => pskc::parse(&content),
            })),
        }
    }

    /// The entries, each with its user. A user's file holds that user's factor and nobody else's.
    fn own(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let Some(user) = &self.user else { return entries };
        let more = entries.len().saturating_sub(MAX_ENTRIES_OF_USER);
        entries.truncate(MAX_ENTRIES_OF_USER);
        if more > 0 {
            let line = entries.last().map_or(1, |last| last.line);
            entries.push(Entry { line, user: None, factor: Err(Refusal::More(more)) });
        }
        for entry in &mut entries {
            if entry.user.as_ref().is_some_and(|named| *named != user.name) {
                entry.factor = Err(Refusal::OtherUser);
            }
            entry.user = Some(user.name.clone());
        }
        entries
    }
}

/// Reads a file that only root can have put there.
fn read_roots(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err("it is not the path of a file".to_owned());
    };
    let file = Folder::open(parent).and_then(|folder| {
        // The folder of a user may hold that user's own files, with the names of others in them.
        let owner = folder.owner()?.uid;
        if !owner.is_root() && owner != nix::unistd::geteuid() {
            let what = format!("{} belongs to another user than root", parent.display());
            return Err(std::io::Error::other(what));
        }
        folder.read(name)
    });
    let mut file = file
        .map_err(|error| format!("{error}. To read it all the same, give it on standard input: - < FILE"))?;
    read_bounded(&mut file)
}

/// Refuses a content of more lines than this.
fn few_lines(content: &[u8], limit: usize) -> Result<(), String> {
    // The last line ends with the file, or has a line break and nothing behind it.
    match content.split(|byte| *byte == b'\n').nth(limit.saturating_add(1)) {
        Some(_) => Err(format!("it has more than {limit} lines. Split it")),
        None => Ok(()),
    }
}

fn read_bounded(input: &mut impl Read) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut content = Zeroizing::new(Vec::new());
    let limit = u64::try_from(MAX_BYTES + 1).unwrap_or(u64::MAX);
    input.take(limit).read_to_end(&mut content).map_err(|error| format!("it cannot be read: {error}"))?;
    if content.len() > MAX_BYTES {
        return Err("it has more than 64 MiB. Split it".to_owned());
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_passwd_are_read_and_directives_are_not() {
        let alice = HostUser::of_line("alice:x:5001:5002::/home/alice:/bin/sh").unwrap();
        assert_eq!((alice.owner, alice.home), (FileOwner { uid: 5001, gid: 5002 }, "/home/alice".into()));
        for bad in
            ["", "+::::::", "alice", "a:x:1:1::/:/bin/sh", "a:x:1:1::home:/bin/sh", "a:x:b:1::/h:/bin/sh"]
        {
            assert_eq!(HostUser::of_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_does_not_end_is_read_up_to_a_limit() {
        assert!(read_bounded(&mut std::io::repeat(b'x')).unwrap_err().contains("64 MiB"));
        assert!(read_bounded(&mut &b"user,secret"[..]).is_ok());
        assert!(few_lines(b"a\nb\nc", 2).is_ok() && few_lines(b"a\nb\nc\n", 2).is_err());
    }

    #[test]
    fn a_users_file_holds_no_factor_of_another_user() {
        let user = HostUser::of_line("alice:x:5001:5002::/home/alice:/bin/sh");
        let source = Source { user, place: Place::StandardInput, optional: false };
        let key = "3132333435363738393031323334353637383930";
        let file = format!("HOTP/T30 bob - {key}\nHOTP/T30 alice - {key}\n");
        let entries = source.own(pam_oath::parse(file.as_bytes()));
        assert_eq!(entries[0].factor, Err(Refusal::OtherUser));
        assert!(entries[1].factor.is_ok());
        assert!(entries.iter().all(|entry| entry.user.as_deref() == Some("alice")));
        let entries = source.own(pam_oath::parse("junk\n".repeat(1000).as_bytes()));
        assert_eq!((entries.len(), &entries[16].factor), (17, &Err(Refusal::More(984))));
    }
}
