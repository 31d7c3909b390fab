//! Plugins as sinks, against a real service on loopback: modes, epochs that come again, and what is not reached.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::braid::{River, eventually, root};
use crate::cases::same;
use crate::hook::{Answer, Hook, Posted};
use crate::hostile::crimes;

const DEPLOYMENT: &str = r#"
apiVersion: braid/v1
name: told
layout: kappa
store: memory://
sources:
  events:
    files: {path: "${INPUT}", max_files_per_trigger: 1}
    format: json
    schema: {id: long, at: timestamp, k: string}
    watermark: {event_time: at, delay: 0s}
plugins:
  notify: {component: plugins/notify/notify.wasm, limits: {time: 10s}, grants: {http: ["${HOOK}"]}}
views:
  counts: {sql: "SELECT k, count(*) AS n FROM events GROUP BY k"}
  windows:
    sql: "SELECT window.start AS start, count(*) AS n FROM (SELECT window(at, '10 seconds') AS window FROM events) GROUP BY window"
  evens:
    pipeline:
      - from: events
      - filter: id % 2 = 0
      - map: {id: id, k: upper(k)}
      - foreach_rdd: {plugin: notify, options: {url: "${HOOK}/evens", each: row, idempotent: true}}
sinks:
  changed:
    from: counts
    output_mode: update
    delivery: exactly_once
    plugin: notify
    options: {url: "${HOOK}/changed", token: "${SOME_TOKEN:-nobody}", idempotent: true}
  closed: {from: windows, plugin: notify, options: {url: "${HOOK}/closed"}}
  everything: {from: counts, output_mode: complete, plugin: notify, options: {url: "${HOOK}/everything"}}
serving: {http: "127.0.0.1:0"}
"#;

const KEYS: [&str; 3] = ["a", "b", "c"];
const ROWS_PER_FILE: u64 = 10;

struct Bench {
    home: tempfile::TempDir,
    hook: Hook,
    river: River,
    files: u64,
}

impl Bench {
    fn new(text: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let file = home.path().join("deployment.yaml");
        std::fs::write(&file, text).expect("a fresh file");
        std::fs::create_dir(home.path().join("input")).expect("a fresh directory");
        let hook = Hook::start();
        let river =
            River::new(file, home.path()).env("INPUT", home.path().join("input").display()).env("HOOK", hook.origin());
        Self { home, hook, river, files: 0 }
    }

    /// One more file: its rows are a second apart.
    fn drop_file(&mut self) {
        let ids = self.files * ROWS_PER_FILE..(self.files + 1) * ROWS_PER_FILE;
        let rows: String =
            ids.map(|id| format!("{{\"id\":{id},\"at\":\"{}\",\"k\":\"{}\"}}\n", at(id), key(id))).collect();
        let name = self.home.path().join(format!("input/{:04}.json", self.files));
        std::fs::write(name.with_extension("part"), rows).expect("a fresh file");
        std::fs::rename(name.with_extension("part"), name).expect("a moved file");
        self.files += 1;
    }

    /// What the service has of a sink: of equal keys the first, as one that drops what it has seen. Whatever came again was the
    /// same, under the same number.
    fn kept(&self, sink: &str) -> Vec<Posted> {
        let mut kept = BTreeMap::<String, Posted>::new();
        let mut order = vec![];
        for posted in self.hook.posted().into_iter().filter(|posted| posted.sink == sink) {
            match kept.get(&posted.key) {
                None => {
                    order.push(posted.key.clone());
                    kept.insert(posted.key.clone(), posted);
                }
                Some(before) => {
                    assert_eq!(
                        (before.epoch, &before.rows),
                        (posted.epoch, &posted.rows),
                        "{sink} came again otherwise"
                    );
                }
            }
        }
        order.iter().map(|key| kept[key].clone()).collect()
    }

    /// Everything that the files say was told, once per key, in the order of epochs.
    fn check(&self) {
        let rows = self.files * ROWS_PER_FILE;
        // Per file one epoch: the counts after it, and each row of it once.
        let changed = self.kept("changed");
        let mut counts = BTreeMap::<&str, u64>::new();
        for (number, posted) in changed.iter().enumerate() {
            let ids = number as u64 * ROWS_PER_FILE..(number as u64 + 1) * ROWS_PER_FILE;
            ids.for_each(|id| *counts.entry(key(id)).or_default() += 1);
            let wanted = counts.iter().map(|(k, n)| format!("{{\"k\":\"{k}\",\"n\":{n}}}")).collect();
            same(&format!("epoch {}", posted.epoch), &posted.rows, wanted);
        }
        assert_eq!(changed.len() as u64, self.files);
        assert!(changed.is_sorted_by_key(|posted| posted.epoch), "epochs ascend: {changed:?}");
        assert_eq!(self.kept("everything"), at_least(&self.kept("everything"), &changed, "everything"));
        let evens: Vec<String> = sorted(self.kept("evens_foreach_rdd").into_iter().flat_map(|posted| posted.rows));
        let wanted = (0..rows).step_by(2).map(|id| format!("{{\"id\":{id},\"k\":\"{}\"}}", key(id).to_uppercase()));
        same("rows", &evens, sorted(wanted));
        // Windows that ended at or before the last row, less what is not final.
        let closed = sorted(self.kept("closed").into_iter().flat_map(|posted| posted.rows));
        let ended = (rows - 1) / 10;
        let wanted = (0..ended).map(|window| format!("{{\"start\":\"{}\",\"n\":10}}", at(window * 10)));
        same("windows", &closed, sorted(wanted));
    }
}

/// In complete mode, the rows of an epoch are those that changed where every key does.
fn at_least(found: &[Posted], changed: &[Posted], sink: &str) -> Vec<Posted> {
    assert_eq!(found.len(), changed.len());
    let pairs = found.iter().zip(changed);
    pairs.map(|(found, changed)| Posted { sink: sink.into(), rows: changed.rows.clone(), ..found.clone() }).collect()
}

fn sorted(rows: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().collect();
    rows.sort();
    rows
}

fn key(id: u64) -> &'static str {
    KEYS[(id % 3) as usize]
}

/// Row `id` is that many seconds after the first.
fn at(id: u64) -> String {
    format!("2026-01-01T{:02}:{:02}:{:02}Z", id / 3600, id / 60 % 60, id % 60)
}

#[test]
fn rows_arrive_by_mode_with_their_epochs_whatever_the_layout() {
    for layouts in [["kappa"; 3], ["lambda"; 3], ["kappa", "lambda", "kappa"]] {
        let mut bench = Bench::new(DEPLOYMENT);
        for layout in layouts {
            bench.drop_file();
            bench.drop_file();
            bench.river.clone().layout(layout).catch_up().ok(layout);
            bench.check();
        }
        let posted = bench.hook.posted();
        let keys: BTreeSet<&str> = posted.iter().map(|posted| posted.key.as_str()).collect();
        assert_eq!(keys.len(), posted.len(), "nothing came twice without a crash");
    }
}

#[test]
fn an_error_of_the_service_has_the_epoch_come_again() {
    let mut bench = Bench::new(DEPLOYMENT);
    bench.drop_file();
    bench.hook.answers([Answer::Status(200), Answer::Status(500), Answer::Status(503), Answer::Status(200)]);
    let said = bench.river.catch_up();
    assert!(said.err.contains("plugin `notify`: the service answers 500"), "{}", said.err);
    said.ok("it is tried again");
    bench.check();
    let statuses: Vec<u16> =
        bench.hook.posted().iter().map(|posted| posted.status).filter(|status| *status != 200).collect();
    assert_eq!(statuses, [500, 503]);
}

/// Killed between what was told and its commit: by a failpoint, and with `kill -9` while the service has not answered.
#[test]
fn what_comes_again_after_a_crash_is_the_same_epoch() {
    for (one, other) in [("kappa", "kappa"), ("lambda", "lambda"), ("kappa", "lambda"), ("lambda", "kappa")] {
        let mut bench = Bench::new(DEPLOYMENT);
        bench.drop_file();
        bench.river.clone().layout(one).catch_up().ok("the first epoch");
        bench.drop_file();
        let ended = bench.river.clone().layout(one).env("FAILPOINTS", "epoch::sinks::written=return").catch_up();
        assert_eq!(ended.status.code(), None, "an abort:\n{}", ended.err);
        let told = bench.kept("changed").len();
        bench.drop_file();
        bench.hook.answers(std::iter::repeat_n(Answer::Status(200), 3).chain([Answer::Never]));
        let before = bench.hook.posted().len();
        let mut running = bench.river.clone().layout(other).start_run();
        eventually("a request without an answer", || {
            let posted = bench.hook.posted();
            let waits = posted.iter().skip(before).any(|posted| posted.status == 0);
            if waits { Ok(()) } else { Err(running.said()) }
        });
        assert!(running.kill(), "it waits for the answer");
        bench.hook.answers([]);
        bench.river.clone().layout(other).catch_up().ok("the rest");
        bench.check();
        let posted = bench.hook.posted();
        let keys: BTreeSet<&str> = posted.iter().map(|posted| posted.key.as_str()).collect();
        assert!(told >= 2 && keys.len() < posted.len(), "an epoch came again: {posted:?}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let mut bench = Bench::new(DEPLOYMENT);
    bench.drop_file();
    let elsewhere = Hook::start();
    bench.hook.answers([Answer::Moved(format!("{}/changed", elsewhere.origin()))]);
    let ended = bench.river.catch_up();
    assert!(ended.err.contains("the service answers 302"), "{}", ended.err);
    ended.ok("it is tried again");
    bench.check();
    assert_eq!(elsewhere.posted(), []);
}

/// A deployment whose sink `told` is this component with these options and more lines about it.
fn one_sink(component: &str, plugin: &str, sink: &str) -> String {
    format!(
        "apiVersion: braid/v1\nname: told\nlayout: kappa\nstore: memory://\n\
         sources: {{lines: {{files: {{path: \"${{INPUT}}\"}}, format: text}}}}\n\
         plugins: {{taker: {{component: \"{component}\", {plugin}}}}}\n\
         views: {{rows: {{sql: SELECT value AS note FROM lines}}}}\n\
         sinks: {{told: {{from: rows, plugin: taker, {sink}}}}}\nrestart: {{max_attempts: 0}}\n"
    )
}

fn crime(name: &str) -> String {
    crimes().join(format!("{name}.wasm")).display().to_string()
}

fn input(bench: &Bench) -> PathBuf {
    bench.home.path().join("input/lines.txt")
}

#[test]
fn a_plugin_that_asks_for_what_was_not_granted_ends_the_query_and_reaches_nothing() {
    let elsewhere = Hook::start();
    let text = one_sink(&crime("sink_requests"), "limits: {time: 10s}, grants: {http: [\"${HOOK}\"]}", "options: {}");
    let bench = Bench::new(&text);
    std::fs::write(input(&bench), format!("{}/secret\n", elsewhere.origin())).expect("a fresh file");
    let ended = bench.river.catch_up();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
    let message = format!(
        "sink `told`: plugin `taker`: {0} was not granted: write `grants: {{http: [\"{0}\"]}}` for the plugin `taker`",
        elsewhere.origin()
    );
    assert!(ended.err.contains(&message), "{}", ended.err);
    assert!(!ended.err.contains("secret"), "a path may be a secret: {}", ended.err);
    assert_eq!(elsewhere.posted(), []);
}

#[test]
fn a_sink_that_never_comes_back_ends_the_query_and_not_the_answers() {
    let bench = Bench::new(&one_sink(&crime("sink_loop"), "limits: {time: 300ms}", "options: {}"));
    std::fs::write(input(&bench), "good\n").expect("a fresh file");
    bench.river.catch_up().ok("innocent rows");
    std::fs::write(input(&bench).with_file_name("more.txt"), "good\nevil\n").expect("a fresh file");
    let ended = bench.river.catch_up();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
    assert!(
        ended.err.contains("sink `told`: plugin `taker`: process: ran longer than its limit of 300ms"),
        "{}",
        ended.err
    );
    assert_eq!(bench.river.rows("SELECT note FROM rows"), ["good"], "what was committed is answered");
}

#[test]
fn what_cannot_be_is_said_before_anything_runs() {
    let notify = root().join("plugins/notify/notify.wasm").display().to_string();
    let anonymise = root().join("plugins/anonymise/anonymise.wasm").display().to_string();
    let grant = "grants: {http: [\"${HOOK}\"]}";
    let url = "options: {url: \"${HOOK}/x\"}";
    for (component, plugin, sink, says) in [
        (&notify, "on_error: fail", url, "sends requests, and was granted none: say to whom"),
        (&notify, "grants: {http: [api.example.com]}", url, "write `https://api.example.com`"),
        (
            &notify,
            "grants: {http: [\"https://a.b/c\"]}",
            url,
            "write `https://a.b`: an origin is scheme, host and port only",
        ),
        (&notify, "grants: {http: [\"https://*.b\"]}", url, "write each origin out"),
        (&notify, grant, "options: {url: \"https://example.com/x\"}", "https://example.com was not granted: write"),
        (&notify, grant, "options: {}", "needs the option `url`"),
        (
            &notify,
            grant,
            &format!("{url}, delivery: exactly_once"),
            "write `at_least_once`, leave it out, or have the plugin promise it",
        ),
        (&notify, &format!("{grant}, on_error: skip"), url, "take `on_error` out"),
        (&anonymise, grant, url, "sends no requests: take its `grants` out"),
        (&anonymise, "on_error: fail", url, "gives rows out: it stands in `apply`, not in a sink"),
    ] {
        let bench = Bench::new(&one_sink(component, plugin, sink));
        let ended = bench.river.finish("plan", &[]);
        assert_eq!(ended.status.code(), Some(2), "{plugin}, {sink}: {}", ended.out);
        assert!(ended.err.contains(says), "{plugin}, {sink} does not say {says:?}:\n{}", ended.err);
    }
    let bench = Bench::new(&one_sink(&notify, grant, url));
    let plan = bench.river.finish("plan", &[]).ok("it can be");
    assert!(plan.contains("to the plugin taker"), "{plan}");
}
