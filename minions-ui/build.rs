//! Builds the page under `web/` with npm, so that the binary can hold it. It is built into cargo's own output directory:
//! `web/dist` is only what `npm run build` makes by hand.

use std::{
    env,
    error::Error,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What the page is made of; cargo runs this file again when one of them changes.
const SOURCES: [&str; 10] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    ".npmrc",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
    "../../examples/client",
];

/// The oldest Node.js that Vite runs on.
const NODE_MIN: (u32, u32) = (20, 19);

const HOW_TO_GET_NODE: &str = "install Node.js 20.19 or later, which brings npm: https://nodejs.org/en/download, or your system's package `nodejs` and `npm`";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        println!("cargo::rerun-if-changed=web/{source}");
    }
    if let Err(error) = build() {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let web = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("web");
    let page = PathBuf::from(env::var("OUT_DIR")?).join("page");
    check_node()?;
    install(&web)?;
    let page_arg = page.display().to_string();
    npm(&web, &["run", "build", "--", "--emptyOutDir", "--outDir", &page_arg])?;
    Ok(())
}

fn check_node() -> Result<(), Box<dyn Error>> {
    let output = run(Command::new("node").arg("--version"), "node")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let mut parts = text.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < NODE_MIN {
        return Err(
            format!("the web page needs Node.js 20.19 or later, found {text}: {HOW_TO_GET_NODE}").into()
        );
    }
    Ok(())
}

/// `npm ci`, unless what is installed is what the lock file says.
fn install(web: &Path) -> Result<(), Box<dyn Error>> {
    let lock = fs::read(web.join("package-lock.json"))?;
    let stamp = web.join("node_modules/.installed-from");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    // Nothing that the page needs has to run at installation. NODE_ENV=production would leave the build tools out.
    npm(web, &["ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    fs::write(&stamp, lock)?;
    Ok(())
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = run(Command::new(program).args(arguments).current_dir(web), "npm")?;
    if output.status.success() {
        return Ok(());
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("`npm {}` in {} failed:\n{stdout}\n{stderr}", arguments.join(" "), web.display()).into())
}

fn run(command: &mut Command, name: &str) -> Result<Output, Box<dyn Error>> {
    command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("the web page needs {name}, which is not in PATH: {HOW_TO_GET_NODE}").into()
        }
        _ => format!("cannot run {name}: {error}").into(),
    })
}
