//! Every `curl` of `docs/api.md` runs, in the order of the page.

use std::{path::Path, process::Stdio};

use tokio::process::Command;
use wire::Role;

use crate::support::{World, eventually};

/// Where the page says that the API is.
const DOCUMENTED: &str = "API=http://127.0.0.1:50100\n";

#[tokio::test]
async fn every_example_is_answered() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let page = std::fs::read_to_string(page).expect("docs/api.md is there");
    let examples: String =
        page.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(examples.contains(DOCUMENTED), "the page begins with where the API is");

    let world = World::start(1).await;
    let spear = world.register(Role::Spear, "spear-1").await;
    world.report(0, &spear, 0, &[("connections", 1.0)]).await;
    let api = world.api(0);
    eventually("the spear is shown", async || (api.get("/v1/nodes/spear-1").await.0 == 200).then_some(()))
        .await;

    let here = examples.replace(DOCUMENTED, &format!("API={}\n", world.url(0, "")));
    // `set -e` ends at the first refusal, `-x` says which one it was.
    let script = format!("set -ex\ncurl() {{ command curl --fail-with-body \"$@\"; echo; }}\n{here}");
    // Files that an example writes go away with this.
    let place = tempfile::tempdir().expect("a directory");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&place).stdin(Stdio::null()).kill_on_drop(true);
    let ran = shell.output().await.expect("a shell");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    assert_eq!(
        out.lines().count(),
        examples.matches("curl -s").count(),
        "each is answered with one line:\n{out}"
    );
    // The page shows answers; those without times and rates are the same at each run.
    let shown = page.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.starts_with('{'));
    for line in shown.filter(|line| !["…", "_at\"", "per_second"].iter().any(|varies| line.contains(varies)))
    {
        assert!(out.lines().any(|answer| answer == line), "the page shows {line}, the answers were\n{out}");
    }
}
