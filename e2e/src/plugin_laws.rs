//! What plugins promise, tried by the deployment itself before they run: refused, warned of, or left alone; and tried once.

use std::path::Path;

use crate::braid::{River, root};
use crate::scripts::interpreters;

const CASE: &str = "e2e/cases/P2-mistakes-laws";

/// The mean of means of some rows.
const MEANS: &str = r#"
apiVersion: braid/v1
name: means
layout: kappa
store: memory://
sources:
  visits: {files: {path: "${INPUT}"}, format: json, schema: {url: string, ms: double}}
plugins:
  middle: {script: "${SCRIPT}", laws: "${LAWS}", limits: {time: 20s}}
views:
  means: {sql: "SELECT url, middle(ms) AS mean FROM visits GROUP BY url"}
"#;

/// A good function and a good aggregate.
const GOOD: &str = r#"
apiVersion: braid/v1
name: good
layout: kappa
store: memory://
sources:
  visits: {files: {path: "${INPUT}"}, format: json, schema: {url: string, ms: double, n: long}}
plugins:
  host_of: {component: plugins/host_of/host_of.wasm, limits: {time: 20s}}
  weighted_mean: {component: plugins/weighted_mean/weighted_mean.wasm, limits: {time: 20s}}
views:
  means: {sql: "SELECT host_of(url) AS host, weighted_mean(ms, ${WEIGHT}) AS mean FROM visits GROUP BY host_of(url)"}
"#;

fn river(home: &Path, text: &str) -> River {
    std::fs::create_dir_all(home.join("input")).expect("a fresh directory");
    std::fs::write(home.join("input/1.json"), "{\"url\":\"http://a/\",\"ms\":1,\"n\":2}\n").expect("a fresh file");
    std::fs::write(home.join("deployment.yaml"), text).expect("a fresh file");
    River::new(home.join("deployment.yaml"), home).env("INPUT", home.join("input").display())
}

#[test]
fn a_mean_of_means_does_not_start() {
    interpreters();
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new(format!("{CASE}/deployment.yaml"), home.path()).env("CASE", CASE);
    for (verb, more) in [("up", &[][..]), ("run", &["--until", "caught-up"])] {
        let ended = river.finish(verb, more);
        assert_eq!(ended.status.code(), Some(2), "{verb}: {}", ended.err);
        let law = "plugin `mean_of_means` breaks a law of its world: merge is associative";
        for says in [law, "merge(merge(a, b), c):", "and answers", "plugins.mean_of_means.script", "3 mistakes"] {
            assert!(ended.err.contains(says), "{verb} does not say {says:?}:\n{}", ended.err);
        }
    }
    assert!(!home.path().join("store").exists(), "nothing was written");
}

#[test]
fn what_is_meant_so_runs_with_a_warning_or_without() {
    interpreters();
    let home = tempfile::tempdir().expect("a temporary directory");
    let script = root().join(CASE).join("mean_of_means.js");
    let river = river(home.path(), MEANS).env("SCRIPT", script.display());
    for (laws, code, said) in [("refuse", 2, true), ("warn", 0, true), ("skip", 0, false)] {
        let ended = river.clone().env("LAWS", laws).catch_up();
        assert_eq!(ended.status.code(), Some(code), "{laws}: {}", ended.err);
        assert_eq!(ended.err.contains("breaks a law of its world"), said, "{laws}: {}", ended.err);
    }
    assert_eq!(river.env("LAWS", "skip").rows("SELECT url, mean FROM means"), ["http://a/,1.0"]);
}

#[test]
fn what_held_is_tried_once_for_its_bytes_and_arguments() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = river(home.path(), GOOD).env("RUST_LOG", "warn,braid=info");
    let cache = home.path().join("cache");
    let tried = |river: &River, cache: &Path| {
        let ended = river.clone().env("BRAID_CACHE", cache.display()).catch_up();
        let found = ended.err.matches("laws were tried").count();
        ended.ok("a good deployment");
        found
    };
    let river = river.env("WEIGHT", "n");
    assert_eq!(tried(&river, &cache), 2);
    assert_eq!(tried(&river, &cache), 0);
    let known = cache.join("wasm/checked");
    assert_eq!(std::fs::read_dir(&known).expect("it is there").count(), 2);
    for file in std::fs::read_dir(&known).expect("it is there") {
        std::fs::write(file.expect("a file").path(), "all is well").expect("it can be written");
    }
    assert_eq!(tried(&river, &cache), 2, "what does not say what it is of is not believed");
}
