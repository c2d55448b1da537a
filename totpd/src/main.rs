//! `totpd`: the daemon and the command line in one binary.

fn main() -> std::process::ExitCode {
    totpd::main()
}
