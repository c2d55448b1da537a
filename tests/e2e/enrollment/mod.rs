//! Enrollment: what is shown, inside a login and by the command.

mod authenticators;
mod interrupted;
mod login;
mod messages;
mod qr;
mod replacement;
mod terminal;
mod ticket;
