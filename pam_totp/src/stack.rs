//! Whether a failure of the module refuses the login, by the service's file (pam.d(5)).
//!
//! libpam does not tell a module its control. Under `optional`, or where a failure is ignored, a
//! prompt about a daemon that is down would lock out programs that cannot answer it. So one is
//! shown only where the file leaves no doubt.

use std::io::Read;
use std::path::Path;

/// The folders of services, in libpam's order.
const FOLDERS: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// The most bytes of a file. A longer one proves nothing.
const MAX_FILE: u64 = 64 * 1024;

/// Returns whether each of our `auth` lines in the file of `service` is `required` or `requisite`,
/// and there is one. Lines of included files are not read.
pub(crate) fn failure_refuses(service: &str) -> bool {
    let is_name = !service.is_empty() && !service.starts_with('.') && !service.contains('/');
    let mut files = FOLDERS.iter().filter(|_| is_name).map(|folder| read(&Path::new(folder).join(service)));
    files.find_map(|file| file).is_some_and(|text| every_line_refuses(&text))
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE + 1).read_to_string(&mut text).ok()?;
    (u64::try_from(text.len()).ok()? <= MAX_FILE).then_some(text)
}

fn every_line_refuses(text: &str) -> bool {
    let text = text.replace("\\\n", " ");
    let mut controls = text.lines().filter_map(control_of_ours).peekable();
    controls.peek().is_some()
        && controls.all(|control| matches!(control.to_ascii_lowercase().as_str(), "required" | "requisite"))
}

/// The control of an `auth` line that names our module.
fn control_of_ours(line: &str) -> Option<&str> {
    let line = line.split('#').next()?.trim();
    let (facility, rest) = line.strip_prefix('-').unwrap_or(line).split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let end = if rest.starts_with('[') { rest.find(']')? + 1 } else { rest.find(char::is_whitespace)? };
    let (control, module) = rest.split_at_checked(end)?;
    let module = module.split_whitespace().next()?;
    (facility.eq_ignore_ascii_case("auth") && module.ends_with("pam_totp.so")).then_some(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_required_lines_refuse_for_certain() {
        for (text, refuses) in [
            ("auth required pam_totp.so\n", true),
            ("# comment\n@include common-auth\n-AUTH\tRequisite  /usr/lib/security/pam_totp.so debug", true),
            ("auth required \\\n pam_totp.so timeout=2\naccount required pam_unix.so", true),
            ("auth optional pam_totp.so timeout=2\nauth required pam_permit.so", false),
            ("auth sufficient pam_totp.so\n", false),
            ("auth [success=ok default=ignore] pam_totp.so\n", false),
            ("auth [success=ok authinfo_unavail=ignore default=die] pam_totp.so\n", false),
            ("auth required pam_totp.so\nauth optional pam_totp.so\n", false),
            ("auth required pam_unix.so\n", false),
            ("account required pam_totp.so\n", false),
            ("# auth required pam_totp.so\n", false),
            ("auth required", false),
            ("auth [required pam_totp.so", false),
            ("", false),
        ] {
            assert_eq!(every_line_refuses(text), refuses, "{text}");
        }
        for service in ["", "../shadow", "..", "/etc/pam.d/x", "no-such-service"] {
            assert!(!failure_refuses(service), "{service}");
        }
    }
}
