//! History, notices, the audit log and fail2ban.

mod fail2ban;
mod history;
mod unknown_names;
mod unread_log;
