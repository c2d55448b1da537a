//! Clients that others' programs generate from `/openapi.json` compile, and walk through the API.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use totpd_e2e::paths::repository;
use totpd_e2e::run::{Running, run, wait_until};
use totpd_e2e::{Api, Site, api};

/// A site, a client of it, and its description in a file.
struct Described {
    site: Site,
    app: Api,
    port: u16,
    document: PathBuf,
}

impl Described {
    #[track_caller]
    fn new() -> Self {
        let (site, port) = api::tcp_site("");
        let app = Api::add(&site, api::Endpoint::Tcp(port), "admin");
        let said = "\"event\":\"signing-key\"";
        wait_until("the API answers", || app.connect().is_some() && site.log().contains(said));
        let document = site.path("openapi.json");
        std::fs::write(&document, app.get("/openapi.json").assert_success().json.to_string()).unwrap();
        Self { site, app, port, document }
    }

    /// Runs the program that uses the generated client.
    #[track_caller]
    fn assert_works(&self, mut program: Command) {
        program
            .env("SDK_URL", format!("http://127.0.0.1:{}", self.port))
            .env("SDK_PROJECT_ID", &self.app.project_id)
            .env("SDK_SECRET", &self.app.secret)
            .env("NO_PROXY", "127.0.0.1");
        assert_eq!(run(program, "").assert_success().stdout, "the generated client works\n");
        self.site.totpd(&["status"]).assert_success();
    }
}

fn folder(language: &str) -> PathBuf {
    repository().join("tests/sdk/generated").join(language)
}

/// Returns a command of a file that must exist.
#[track_caller]
fn installed(program: &Path) -> Command {
    assert!(program.exists(), "scripts/bootstrap.sh test installs {}", program.display());
    Command::new(program)
}

#[test]
fn a_generated_python_client_works() {
    let described = Described::new();
    let python = repository().join(".venv-openapi/bin");
    let mut generate = installed(&python.join("openapi-python-client"));
    generate.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]).arg(&described.document);
    generate.arg("--output-path").arg(described.site.path("totpd_client"));
    generate.arg("--config").arg(folder("python").join("config.yml"));
    run(generate, "").assert_success();
    let mut walk = installed(&python.join("python"));
    // -B writes no compiled files beside the sources.
    walk.arg("-B").arg(folder("python").join("walk.py")).env("GENERATED", &described.site.root);
    described.assert_works(walk);
}

#[test]
fn a_generated_typescript_client_compiles_and_works() {
    let described = Described::new();
    let source = folder("typescript");
    let target = described.site.path("typescript");
    std::fs::create_dir_all(target.join("generated")).unwrap();
    for file in ["package.json", "tsconfig.json", "walk.ts"] {
        std::fs::copy(source.join(file), target.join(file)).unwrap();
    }
    let modules = source.join("node_modules");
    std::os::unix::fs::symlink(&modules, target.join("node_modules")).unwrap();
    let mut generate = installed(&modules.join(".bin/openapi-typescript"));
    generate.arg(&described.document).arg("-o").arg(target.join("generated/totpd.ts"));
    run(generate, "").assert_success();
    let mut compile = installed(&modules.join(".bin/tsc"));
    compile.arg("--project").arg(&target);
    // It checks a megabyte of declarations, which takes long on a busy host.
    Running::start(compile).finish_within(Duration::from_mins(5)).assert_success();
    let mut walk = Command::new("node");
    walk.arg(target.join("generated/out/walk.js"));
    described.assert_works(walk);
}
